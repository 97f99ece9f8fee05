// Light or dark as the system has it, or as chosen with the button in the bar.
const KEY = "rerankd.theme";
const root = document.documentElement;

function apply(theme) {
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  else delete root.dataset.theme;
}

apply(localStorage.getItem(KEY));

const bar = document.querySelector("header.bar");
if (bar) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet theme";
  const isDark = () =>
    root.dataset.theme === "dark" ||
    (!root.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
  const label = () => (button.textContent = isDark() ? "Light" : "Dark");
  button.setAttribute("aria-label", "Switch between light and dark");
  button.addEventListener("click", () => {
    const next = isDark() ? "light" : "dark";
    localStorage.setItem(KEY, next);
    apply(next);
    label();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", label);
  label();
  bar.append(button);
}

// On a wide screen the menu lies open; without this script it opens by its summary.
const menu = document.querySelector("details[data-menu]");
if (menu) {
  const wide = matchMedia("(min-width: 62rem)");
  const fit = () => (menu.open = wide.matches);
  wide.addEventListener("change", fit);
  fit();
}
