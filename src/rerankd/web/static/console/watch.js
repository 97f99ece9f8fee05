// While a model is loaded or unloaded, looks every two seconds how it does, and shows it.
const EVERY_MS = 2000;

async function look(shown) {
  const answer = await fetch(location.pathname, { redirect: "manual" });
  if (answer.type === "opaqueredirect") location.reload(); // signed out
  if (!answer.ok) return shown;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const found = page.querySelector("[data-watch]");
  const isFilledIn = shown.querySelector("details[open]") !== null;
  if (found === null || isFilledIn) return shown;
  shown.replaceWith(found); // made and escaped by the server
  if (!("changing" in found.dataset)) document.querySelector(".note")?.remove(); // it is done
  return found;
}

async function loop(shown) {
  if (!("changing" in shown.dataset)) return;
  if (!document.hidden) shown = await look(shown).catch(() => shown);
  setTimeout(loop, EVERY_MS, shown);
}
setTimeout(loop, EVERY_MS, document.querySelector("[data-watch]"));
