// Several models' orders of the same documents, side by side.

import { drawn, element, number } from "./dom.js";
import { kendall, overlap } from "./measures.js";

const orderOf = (result) => result.answer.results.map((hit) => hit.index);
const HIGH = 20, LOW = 14, MANY = 25; // pixels of a rank; of one of many

// Where each document stands with each model, joined by lines: a column for each, in the middle of its card.
function rankLines(results, orders, page) {
  const most = Math.max(...orders.map((list) => list.length));
  const step = most > MANY ? LOW : HIGH;
  const svg = drawn("svg", { height: step * most, role: "img", "aria-label": "Ranks of each document by model; the table below has the same" });
  const ranks = orders.map((list) => new Map(list.map((index, i) => [index, i])));
  const x = (i) => `${(100 * (i + 0.5)) / results.length}%`, y = (rank) => step * rank + step / 2;
  for (const index of orders[0]) {
    const title = drawn("title", {});
    title.textContent = `Document ${index + 1}: ${Array.from(page.sent[index].kind === "image" ? page.sent[index].name : page.sent[index].value).slice(0, 80).join("")}`;
    const group = drawn("g", { class: "line", "data-line": index }, title);
    const texts = [];
    ranks.forEach((rank, i) => {
      if (!rank.has(index)) return;
      const next = ranks[i + 1];
      if (next?.has(index)) group.append(drawn("line", { x1: x(i), y1: y(rank.get(index)), x2: x(i + 1), y2: y(next.get(index)) }));
      texts.push(drawn("text", { x: x(i), y: y(rank.get(index)) + 4, "text-anchor": "middle" }, String(index + 1)));
    });
    group.append(...texts); // on the ends of the lines
    svg.append(group);
  }
  const names = results.map((result) => element("span", { class: `m${result.number}`, title: result.model }, result.model));
  return element("div", { class: "ranks" }, element("div", { class: "names", "aria-hidden": "true" }, ...names), svg);
}

function rankTable(results, orders) {
  const box = element("details", {}, element("summary", {}, "Ranks as a table"));
  box.addEventListener("toggle", () => { if (box.open && box.children.length === 1) box.append(filledTable(results, orders)); });
  return box;
}

function filledTable(results, orders) {
  const head = element("tr", {}, element("th", { scope: "col" }, "Document"), ...results.map((result) => element("th", { scope: "col", class: "n" }, result.model)));
  const rows = [...orders[0]].sort((a, b) => a - b).map((index) => element("tr", {}, element("th", { scope: "row" }, String(index + 1)),
    ...orders.map((list) => element("td", { class: "n" }, list.includes(index) ? String(list.indexOf(index) + 1) : "–"))));
  return element("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "Ranks" },
    element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows)));
}

export function compared(results, page) {
  const orders = results.map(orderOf);
  const documents = orders[0].length;
  page.k ??= Math.min(10, Math.max(1, Math.ceil(documents / 2)));
  const reference = results.find((result) => result.number === page.beside) ?? results[0];
  const first = orderOf(reference);
  const k = element("input", { id: "k", type: "number", min: 1, max: documents, value: Math.min(page.k, documents), onchange: () => { page.k = Math.min(documents, Math.max(1, Number(k.value) || 1)); page.compare("#k"); } });
  const beside = element("select", { id: "beside", onchange: () => { page.beside = Number(beside.value); page.compare("#beside"); } },
    ...results.map((result) => element("option", { value: result.number, selected: result === reference }, result.model)));
  const rows = results.map((result, i) => element("tr", {},
    element("th", { scope: "row", class: `m${result.number}` }, element("span", { class: "dot", "aria-hidden": "true" }), result.model),
    element("td", { class: "n" }, number(kendall(first, orders[i]), 3)),
    element("td", { class: "n" }, number(overlap(first, orders[i], Math.min(page.k, documents)), 2)),
    element("td", { class: "n", "data-row-ndcg": result.number }, "–"),
    element("td", { class: "n" }, number(result.ms, 0)),
    element("td", { class: "n" }, result.answer.usage?.total_tokens?.toLocaleString("en") ?? "–"),
    element("td", { class: "n", "data-row-price": result.number }, "–")));
  const names = ["Model", "Kendall τ", `overlap@${Math.min(page.k, documents)}`, "nDCG@10", "ms", "Tokens", "Price"];
  return element("section", { class: "card lines", "aria-label": "Side by side" },
    element("h2", {}, "Side by side"),
    element("div", { class: "row" }, element("label", { class: "inline", for: "beside" }, "Beside"), beside, element("label", { class: "inline", for: "k" }, "overlap at"), k),
    element("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "Agreement of the models" }, element("table", {},
      element("caption", {}, "Orders are compared, not scores: each model has a scale of its own."),
      element("thead", {}, element("tr", {}, ...names.map((name, i) => element("th", { scope: "col", class: i ? "n" : "" }, name)))),
      element("tbody", {}, ...rows))),
    rankLines(results, orders, page), rankTable(results, orders));
}

// Marks and prices, in place.
export function tellCompared(root, results, page) {
  for (const line of root.querySelectorAll("[data-line]")) line.classList.toggle("relevant", page.grade(Number(line.dataset.line)) > 0);
  for (const result of results.filter((each) => each?.answer)) {
    const cell = root.querySelector(`[data-row-ndcg="${result.number}"]`);
    if (!cell) continue;
    cell.textContent = result.ndcg == null ? "–" : number(result.ndcg, 3);
    root.querySelector(`[data-row-price="${result.number}"]`).textContent = result.price || "–";
  }
}
