// What is wrong, at the field that it is about; what no field is named for, above the button.

import { unfold } from "./fold.js";

const placeOf = (field) => document.querySelector(`[data-problem="${CSS.escape(field)}"]`) ?? document.querySelector('[data-problem=""]');

// more: beside what stands there already, each sentence once.
export function problem(field, message, { more = false } = {}) {
  const place = placeOf(field);
  const before = more && place.textContent ? place.textContent.split("\n") : [];
  place.textContent = message ? [...new Set([...before, message])].join("\n") : "";
  place.hidden = !message;
  const input = document.getElementById(place.dataset.problem);
  if (input?.matches("input, textarea")) {
    if (message) {
      place.id ||= `problem-${place.dataset.problem}`;
      input.setAttribute("aria-invalid", "true");
      input.setAttribute("aria-describedby", place.id);
    } else {
      input.removeAttribute("aria-invalid");
      input.removeAttribute("aria-describedby");
    }
  }
  if (!message) return;
  unfold();
  place.closest("details")?.setAttribute("open", "");
}

export function clearProblems() {
  for (const place of document.querySelectorAll("[data-problem]")) problem(place.dataset.problem, "");
  for (const item of document.querySelectorAll("#documents .wrong")) {
    item.classList.remove("wrong");
    item.querySelector("textarea")?.removeAttribute("aria-invalid");
  }
}
