// Answers as they are shown: one card for each model, each on an axis of its own.

import { compared, tellCompared } from "./compare.js";
import { element, number, plural } from "./dom.js";
import { shownHit, tellGrade } from "./hit.js";
import { axis, ndcg } from "./measures.js";
import { queryPieces, QUIET, touches, weights } from "./pieces.js";

const MANY = 15; // results, of which those out of sight are made and laid out later
const LATER_MS = 100; // after the frame that shows the first

export const order = (result) => result.answer.results.map((hit) => hit.index);

// -- the query, its words tied to those of the documents

function shownQuery(result, page) {
  const hits = result.answer.results.map(({ matches }) => ({ matches: (matches ?? []).filter((match) => result.weigh(match) >= QUIET) }));
  if (!hits.some((hit) => hit.matches.length)) return null;
  const words = queryPieces(Array.from(page.query), hits).map((piece) =>
    piece.named ? element("button", { type: "button", class: "term", "data-place": `${piece.start}-${piece.end}` }, piece.text) : piece.text);
  return element("p", { class: "asked" }, element("span", { class: "visually-hidden" }, "Query: "), ...words);
}

const place = (value) => value.split("-").map(Number);

// Pointing at, or going to, a word lights up its counterparts in the same card.
function tie(card) {
  const light = (target, on) => {
    const chip = target.closest?.("[data-chip]");
    if (chip) for (const each of chip.closest(".hit").querySelectorAll(`[data-chunk="${chip.dataset.chip}"]`)) each.classList.toggle("lit", on);
    const term = target.closest?.(".term"), mark = target.closest?.("mark[data-query]");
    const asked = term ? [place(term.dataset.place)] : mark ? mark.dataset.query.split(" ").map(place) : [];
    if (!asked.length) return;
    for (const each of card.querySelectorAll(".term"))
      if (asked.some((at) => touches(at, place(each.dataset.place)))) each.classList.toggle("lit", on);
    for (const each of (term ? card : mark.closest(".hit")).querySelectorAll("mark[data-query]"))
      if (each.dataset.query.split(" ").some((at) => asked.some((other) => touches(other, place(at))))) each.classList.toggle("lit", on);
  };
  for (const [name, on] of [["pointerover", true], ["pointerout", false], ["focusin", true], ["focusout", false]])
    card.addEventListener(name, (event) => light(event.target, on));
}

// -- the threshold

function shownFloor(result) {
  const [low, high] = result.axis;
  const hits = result.answer.results;
  const told = element("output", {});
  const set = (value) => {
    result.floor = value;
    const kept = hits.filter((hit) => hit.relevance_score >= value).length;
    told.textContent = `${number(value)} keeps ${kept} of ${hits.length}`;
    for (const item of result.card?.querySelectorAll(".hit") ?? [])
      item.classList.toggle("dropped", hits.find((hit) => hit.index === Number(item.dataset.index)).relevance_score < value);
  };
  const id = `floor-${result.number}`;
  const input = element("input", { type: "range", id, min: low, max: high, step: "any", oninput: () => set(Number(input.value)),
    onkeydown: (event) => { // of a range without steps, arrows move by a hundredth
      const step = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      input.value = result.floor + (step * (high - low)) / 100;
      set(Number(input.value));
    } });
  input.value = result.floor;
  const floor = result.calibrated;
  const use = floor == null ? null : element("button", { type: "button", class: "quiet", onclick: () => { input.value = floor; set(floor); } }, `calibrated: ${number(floor)}`);
  set(result.floor);
  return element("div", { class: "threshold" }, element("label", { for: id }, "Threshold"), input, told, use);
}

// -- what the marks mean

function legend(result) {
  const hits = result.answer.results;
  const kinds = new Set(hits.flatMap((hit) => (hit.matches ?? []).map((match) => match.kind)));
  const entries = [
    hits.some((hit) => hit.chunks?.length > 1) && [element("span", { class: "chunk won" }, "best chunk"), element("span", { class: "chunk c0" }, "other"), element("span", { class: "chunk c1" }, "chunks")],
    hits.some((hit) => hit.cut_at != null) && [element("span", { class: "unread" }, "not read")],
    kinds.has("word") && [element("mark", { class: "word" }, "same word")],
    kinds.has("meaning") && [element("mark", { class: "meaning" }, "close in meaning")],
  ].filter(Boolean);
  return entries.length ? element("p", { class: "legend hint" }, ...entries.flat()) : null;
}

function shownTimings({ timings }) {
  if (!timings) return null;
  const steps = [["media", "media_ms"], ["prepare", "prepare_ms"], ["queue", "queue_ms"], ["engine", "engine_ms"], ["in all", "total_ms"]];
  const rows = steps.filter(([, field]) => timings[field] > 0).flatMap(([name, field]) => [element("dt", {}, name), element("dd", {}, `${number(timings[field], 2)} ms`)]);
  return element("details", { class: "parts" }, element("summary", {}, "Time in the server"), element("dl", {}, ...rows));
}

function shownHits(result, page) {
  const hits = result.answer.results.map((hit, i) => [hit, i + 1]);
  const made = (some) => some.map(([hit, rank]) => shownHit(hit, rank, result, page));
  const list = element("ol", { class: hits.length > MANY ? "many" : "" }, ...made(hits.slice(0, MANY)));
  if (hits.length > MANY) requestAnimationFrame(() => setTimeout(() => list.append(...made(hits.slice(MANY))), LATER_MS));
  return list;
}

const short = (value) => (Number.isInteger(value) ? String(value) : number(value, 2));
const tokensOf = ({ usage }) => usage?.total_tokens ?? usage?.prompt_tokens ?? null;

function shownAnswer(result, page) {
  const { answer } = result;
  const tokens = tokensOf(answer), images = answer.usage?.prompt_tokens_details?.image_tokens ?? 0;
  const facts = [
    `${number(result.ms, 0)} ms`,
    tokens == null ? null : plural(tokens.toLocaleString("en"), "token"),
    images ? `${images.toLocaleString("en")} of images` : null,
    `bars from ${short(result.axis[0])} to ${short(result.axis[1])}`,
  ].filter(Boolean);
  const warnings = [...(answer.warnings ?? []), ...(result.explained ? [] : [page.notExplained])];
  const card = element("section", { class: `card answer fade m${result.number}`, "data-model": result.number, "aria-label": `Answer of ${result.model}` },
    element("h2", {}, result.model),
    element("p", { class: "hint facts" }, facts.join(" · "), element("span", { "data-price": true }), element("span", { class: "ndcg", "data-ndcg": true })),
    ...[...new Set(warnings)].map((warning) => element("p", { class: "warning" }, warning)),
    shownQuery(result, page), shownFloor(result), legend(result),
    shownHits(result, page),
    shownTimings(answer));
  result.card = card;
  tie(card);
  return card;
}

const shownRefusal = (result) =>
  element("section", { class: `card answer m${result.number}`, "data-model": result.number, "aria-label": `Answer of ${result.model}` },
    element("h2", {}, result.model), element("p", { class: "problem" }, result.error.message));

export const waiting = (model, number) =>
  element("section", { class: `card answer m${number}`, "data-model": number, "aria-label": `Answer of ${model}`, "aria-busy": "true" },
    element("h2", {}, model), element("p", { class: "hint" }, "Ranking …"));

// One model's answer in place of its waiting card.
export function showOne(root, result, page) {
  if (result.answer) {
    result.axis = axis(result.answer.results.map((hit) => hit.relevance_score));
    result.floor = Math.max(result.axis[0], Math.min(result.calibrated ?? result.axis[0], result.axis[1]));
    result.weigh = weights(result.answer.results);
  }
  root.querySelector(`[data-model="${result.number}"]`).replaceWith(result.answer ? shownAnswer(result, page) : shownRefusal(result));
}

// What there is to see of several answers, above them.
export function showCompared(place, results, page) {
  const good = results.filter((result) => result?.answer);
  place.replaceChildren(...(good.length > 1 ? [compared(good, page)] : []));
}

// After a mark, or a price: the numbers and buttons, in place.
export function tellMarks(root, results, page) {
  const grades = page.gradesByIndex();
  for (const button of root.querySelectorAll(".hit .star")) {
    const index = Number(button.closest(".hit").dataset.index);
    tellGrade(button, index, page.grade(index));
  }
  for (const result of results.filter((each) => each?.answer)) {
    result.ndcg = ndcg(order(result), grades);
    const card = root.querySelector(`[data-model="${result.number}"]`);
    card.querySelector("[data-ndcg]").textContent = result.ndcg == null ? "" : `nDCG@10 ${number(result.ndcg, 3)}`;
    card.querySelector("[data-price]").textContent = result.price ? ` · ${result.price}` : "";
  }
  tellCompared(root, results, page);
}
