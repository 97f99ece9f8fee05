// Buttons that copy: shown where the browser can.
for (const button of document.querySelectorAll("button[data-copy]")) {
  if (!navigator.clipboard) break;
  button.hidden = false;
  const said = button.textContent;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Select it and copy";
    }
    setTimeout(() => (button.textContent = said), 2000);
  });
}

// A page that tells a secret once stands at an address that can be loaded again.
const place = document.querySelector("[data-address]");
if (place) history.replaceState(null, "", place.dataset.address);
