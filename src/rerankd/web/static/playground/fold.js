// The form above its answers: on a screen too narrow for both side by side it folds once they are there.

import { byId as $ } from "./dom.js";

const narrow = matchMedia("(max-width: 61.99rem)");

function set(isOpen) {
  $("fold").setAttribute("aria-expanded", String(isOpen));
  $("fields").hidden = !isOpen;
  $("folded").hidden = isOpen;
}

// told: what was asked, in a line. A focus inside goes to the button that opens the form again.
export function fold(told) {
  if (!narrow.matches) return;
  const isInside = $("fields").contains(document.activeElement);
  $("folded").textContent = told;
  $("fold").hidden = false;
  set(false);
  if (isInside) $("fold").focus();
}

export const unfold = () => set(true);

export function startFolding() {
  $("fold").addEventListener("click", () => set($("fields").hidden));
  narrow.addEventListener("change", () => {
    set(true);
    $("fold").hidden = true;
  });
}
