// Answers as they are shown: one list for each model, each on an axis of its own.

import { kendall, ndcg, overlap } from "./measures.js";

const SVG = "http://www.w3.org/2000/svg";

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

export const number = (value, digits = 4) =>
  value == null ? "–" : Number(value).toLocaleString("en", { maximumFractionDigits: digits, minimumFractionDigits: Math.min(digits, 2) });

// Characters of Python are code points: offsets count those.
const points = (value) => Array.from(value);

// Pieces of a text between all boundaries: which chunk they are of, and which match.
function pieces(value, hit) {
  const all = points(value);
  const chunks = (hit.chunks ?? []).filter((chunk) => chunk.start != null);
  const matches = (hit.matches ?? []).map((match) => ({ at: match.document, kind: match.kind, score: match.score }));
  const cuts = new Set([0, all.length]);
  for (const each of [...chunks.map((c) => [c.start, c.end]), ...matches.map((m) => m.at)])
    for (const at of each) cuts.add(Math.min(Math.max(at, 0), all.length));
  if (hit.cut_at != null) cuts.add(Math.min(hit.cut_at, all.length));
  const places = [...cuts].sort((a, b) => a - b);
  return places.slice(1).map((end, i) => {
    const start = places[i];
    const inside = chunks.filter((chunk) => chunk.start <= start && end <= chunk.end);
    return {
      text: all.slice(start, end).join(""),
      chunk: inside.find((chunk) => chunk.won) ?? inside[0],
      match: matches.find((match) => match.at[0] <= start && end <= match.at[1]),
      unread: hit.cut_at != null && start >= hit.cut_at,
      several: chunks.length > 1,
    };
  });
}

function shownText(doc, hit) {
  if (doc.kind === "image") return element("img", { src: doc.value, alt: doc.name || "image" });
  const box = element("p", { class: "text" });
  for (const piece of pieces(doc.value, hit)) {
    let inner = piece.text;
    if (piece.match)
      inner = element("mark", { class: piece.match.kind === "meaning" ? "meaning" : "", title: `${piece.match.kind}: ${number(piece.match.score, 3)}` }, inner);
    if (piece.unread) box.append(element("span", { class: "unread", title: "not read: it was cut before this" }, inner));
    else if (piece.chunk && piece.several)
      box.append(element("span", {
        class: `chunk ${piece.chunk.won ? "won" : "other"}`,
        title: `${piece.chunk.won ? "best chunk" : "chunk"}: logit ${number(piece.chunk.logit)}, ${piece.chunk.tokens} tokens`,
      }, inner));
    else box.append(inner);
  }
  return box;
}

function parts(hit) {
  const found = Object.entries(hit.parts ?? {});
  if (!found.length) return null;
  return element("details", { class: "parts" }, element("summary", {}, "How the score came about"),
    element("dl", {}, ...found.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, number(value))])));
}

function bar(score, low, high) {
  const share = high > low ? (score - low) / (high - low) : 1;
  const width = Math.max(0, Math.min(100, 100 * share));
  return drawn("svg", { class: "bar", viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" },
    drawn("rect", { class: "track", x: 0, y: 0, width: 100, height: 6, rx: 1 }),
    drawn("rect", { class: "fill", x: 0, y: 0, width, height: 6, rx: 1 }));
}

export const order = (result) => result.answer.results.map((hit) => hit.index);

function shownHit(hit, rank, result, state) {
  const grade = state.grades.get(hit.index) ?? 0;
  const [low, high] = result.axis;
  const facts = [
    hit.logit == null ? null : `logit ${number(hit.logit)}`,
    hit.chunks?.length ? `${hit.chunks.reduce((sum, chunk) => sum + (chunk.tokens ?? 0), 0)} tokens` : null,
    hit.chunks?.length > 1 ? `${hit.chunks.length} chunks` : null,
    hit.truncated ? "cut" : null,
    hit.stage ? `scored by ${hit.stage}` : null,
  ].filter(Boolean);
  return element("li", { class: `hit${hit.relevance_score < result.floor ? " dropped" : ""}`, "data-index": hit.index },
    element("div", { class: "head" },
      element("span", { class: "rank" }, `${rank}.`),
      element("span", { class: "score" }, number(hit.relevance_score)),
      element("span", { class: "facts" }, [`document ${hit.index + 1}`, ...facts].join(" · ")),
      element("button", {
        type: "button", class: "star", "aria-pressed": String(grade > 0),
        "aria-label": `Document ${hit.index + 1} is relevant`, onclick: () => state.mark(hit.index),
      }, grade > 0 ? "relevant" : "mark relevant")),
    bar(hit.relevance_score, low, high),
    shownText(state.sent[hit.index], hit),
    parts(hit));
}

function axis(result) {
  const scores = result.answer.results.map((hit) => hit.relevance_score);
  const low = Math.min(...scores), high = Math.max(...scores);
  return low >= 0 && high <= 1 ? [0, 1] : [low, high];
}

function threshold(result, state) {
  const [low, high] = result.axis;
  const output = element("output", {}, number(result.floor));
  const kept = element("span", { class: "hint" });
  const tell = () => {
    output.textContent = number(result.floor);
    const count = result.answer.results.filter((hit) => hit.relevance_score >= result.floor).length;
    kept.textContent = ` keeps ${count} of ${result.answer.results.length}`;
    output.append(kept);
  };
  const id = `floor-${result.number}`;
  const input = element("input", {
    type: "range", id, min: low, max: high, step: (high - low) / 200 || 0.01, value: result.floor,
    oninput: (event) => {
      result.floor = Number(event.target.value);
      tell();
      for (const item of state.root.querySelectorAll(`[data-model="${result.number}"] .hit`)) {
        const hit = result.answer.results.find((each) => each.index === Number(item.dataset.index));
        item.classList.toggle("dropped", hit.relevance_score < result.floor);
      }
    },
  });
  tell();
  return element("div", { class: "threshold" }, element("label", { for: id }, "Floor"), input, output);
}

function shownAnswer(result, state) {
  const { answer } = result;
  const usage = answer.usage ?? answer.meta?.tokens ?? {};
  const tokens = usage.total_tokens ?? usage.prompt_tokens ?? usage.input_tokens;
  const timings = answer.timings;
  const facts = [
    `${number(result.ms, 0)} ms`,
    timings ? `engine ${number(timings.engine_ms, 1)} ms` : null,
    tokens == null ? null : `${tokens} tokens`,
    result.price ? `${result.price}` : null,
  ].filter(Boolean);
  const warnings = answer.warnings ?? answer.meta?.warnings ?? [];
  return element("section", { class: "card answer fade", "data-model": result.number, "aria-label": `Answer of ${result.model}` },
    element("h2", {}, result.model),
    element("p", { class: "hint" }, facts.join(" · ")),
    element("p", { class: "hint", "data-ndcg": true }),
    ...warnings.map((warning) => element("p", { class: "warning" }, warning)),
    threshold(result, state),
    element("ol", {}, ...answer.results.map((hit, i) => shownHit(hit, i + 1, result, state))));
}

function shownRefusal(result) {
  return element("section", { class: "card answer", "aria-label": `Answer of ${result.model}` },
    element("h2", {}, result.model), element("p", { class: "problem", role: "alert" }, result.error.message));
}

// Where each document stands with each model.
function rankLines(results, state) {
  const most = Math.max(...results.map((result) => order(result).length));
  const gap = 180, step = 18, top = 26;
  const width = gap * (results.length - 1) + 140, height = top + step * most + 6;
  const svg = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "Ranks of each document by model" });
  const at = (result, index) => top + step * order(result).indexOf(index);
  for (let i = 0; i + 1 < results.length; i++)
    for (const index of order(results[i]))
      if (order(results[i + 1]).includes(index))
        svg.append(drawn("line", {
          class: state.grades.get(index) ? "relevant" : "", x1: 80 + gap * i + 14, x2: 80 + gap * (i + 1) - 14,
          y1: at(results[i], index) + 6, y2: at(results[i + 1], index) + 6,
        }));
  results.forEach((result, i) => {
    const name = drawn("text", { x: 80 + gap * i, y: 12, "text-anchor": "middle" });
    name.textContent = result.model.length > 24 ? `${result.model.slice(0, 23)}…` : result.model;
    svg.append(name);
    for (const index of order(result)) {
      const label = drawn("text", { x: 80 + gap * i, y: at(result, index) + 10, "text-anchor": "middle" });
      label.textContent = String(index + 1);
      svg.append(label);
    }
  });
  return svg;
}

function compared(results, state) {
  const first = results[0];
  const rows = results.map((result) => element("tr", {},
    element("th", { scope: "row" }, result.model),
    element("td", { class: "n" }, number(kendall(order(first), order(result)), 3)),
    element("td", { class: "n" }, number(overlap(order(first), order(result)), 2)),
    element("td", { class: "n", "data-row-ndcg": result.number }, "–"),
    element("td", { class: "n" }, number(result.ms, 0))));
  return element("section", { class: "card lines" },
    element("h2", {}, "Side by side"),
    element("div", { class: "scroll" }, element("table", {},
      element("caption", {}, `Beside ${first.model}; each model has a scale of its own.`),
      element("thead", {}, element("tr", {}, ...["Model", "Kendall τ", "overlap@10", "nDCG@10", "ms"].map((name, i) => element("th", { scope: "col", class: i ? "n" : "" }, name)))),
      element("tbody", {}, ...rows))),
    rankLines(results, state));
}

export function tellNdcg(root, results, grades) {
  for (const result of results) {
    const value = ndcg(order(result), grades);
    const told = root.querySelector(`[data-model="${result.number}"] [data-ndcg]`);
    if (told) told.textContent = value == null ? "" : `nDCG@10 ${number(value, 3)}`;
    const cell = root.querySelector(`[data-row-ndcg="${result.number}"]`);
    if (cell) cell.textContent = value == null ? "–" : number(value, 3);
  }
}

// All answers, in place of what was shown.
export function show(root, results, state) {
  state.root = root;
  const good = results.filter((result) => result.answer);
  for (const result of good) {
    result.axis ??= axis(result);
    result.floor ??= result.axis[0];
  }
  root.replaceChildren(
    ...(good.length > 1 ? [compared(good, state)] : []),
    element("div", { class: "answers" }, ...results.map((result) => (result.answer ? shownAnswer(result, state) : shownRefusal(result)))),
    ...(good.length ? [state.judged()] : []));
  tellNdcg(root, good, state.grades);
}
