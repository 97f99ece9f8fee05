// Elements, made without HTML: what comes from the server or from a file is only ever text.

const SVG = "http://www.w3.org/2000/svg";
const ICONS = "/static/playground/icons.svg";

export const byId = (id) => document.getElementById(id);

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "class") made.className = value;
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value != null) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

export function drawn(name, attributes, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export const icon = (name) => drawn("svg", { class: "icon", "aria-hidden": "true" }, drawn("use", { href: `${ICONS}#${name}` }));

// Formatters are slow to make: one for each number of digits.
const formats = new Map();
function format(digits) {
  if (!formats.has(digits))
    formats.set(digits, new Intl.NumberFormat("en", { maximumFractionDigits: digits, minimumFractionDigits: Math.min(digits, 2) }));
  return formats.get(digits);
}

// A number to read: what rounds to nothing keeps two digits that count.
export function number(value, digits = 4) {
  if (value == null || !Number.isFinite(Number(value))) return "–";
  const small = value !== 0 && Math.abs(value) < 10 ** -digits;
  return small ? Number(value).toExponential(1).replace("-", "−") : format(digits).format(value).replace("-", "−");
}

export const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;
