// One document of an answer: its score, its text with what speaks for it, how the score came about.

import { isShown } from "./documents.js";
import { drawn, element, icon, number, plural } from "./dom.js";
import { share } from "./measures.js";
import { excerpt, pieces, QUIET } from "./pieces.js";

const MOST_CHIPS = 12;
const MOST_MATCHES = 12;
const LEAST_CHARACTERS = 240, MOST_CHARACTERS = 600; // of a text, before it is opened

function bar(score, axis) {
  const width = 100 * share(score, axis);
  return drawn("svg", { class: "bar", viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" },
    drawn("rect", { class: "track", x: 0, y: 0, width: 100, height: 6, rx: 1 }),
    drawn("rect", { class: "fill", x: 0, y: 0, width, height: 6, rx: 1 }));
}

function marked(piece, weigh) {
  const loudest = piece.matches[0];
  const weight = loudest ? weigh(loudest) : 0;
  if (weight < QUIET) return piece.text;
  const kinds = piece.matches.filter((match) => weigh(match) >= QUIET);
  const mark = element("mark", {
    class: loudest.kind, "data-query": kinds.map((match) => match.query.join("-")).join(" "),
    title: `${loudest.kind === "word" ? "same word" : "close in meaning"}: ${number(loudest.score, 2)}`,
  }, piece.text);
  mark.style.setProperty("--weight", `${Math.round(25 + 75 * weight)}%`);
  return mark;
}

function shownPiece(piece, several, weigh) {
  const inner = marked(piece, weigh);
  if (piece.unread) return element("span", { class: "unread", title: "not read: the document was cut before this" }, inner);
  if (!several || !piece.chunk) return inner;
  const { won, logit, tokens } = piece.chunk;
  const told = [`${won ? "best chunk" : "chunk"} ${piece.index + 1}: logit ${number(logit)}`, tokens == null ? "" : plural(tokens, "token")];
  return element("span", { class: `chunk ${won ? "won" : `c${piece.index % 3}`}`, "data-chunk": piece.index, title: told.filter(Boolean).join(", ") }, inner);
}

// The text of a document, first a part around what made it win.
function shownText(doc, hit, answers, weigh) {
  const points = Array.from(doc.value);
  const box = element("div", { class: "text" });
  const several = (hit.chunks?.length ?? 0) > 1;
  const matches = hit.matches ?? [];
  const fill = ([from, to]) => {
    const found = pieces(points, { chunks: hit.chunks, matches, cutAt: hit.cut_at, weigh, from, to });
    box.replaceChildren(from > 0 ? "… " : "", ...found.map((piece) => shownPiece(piece, several, weigh)), to < points.length ? " …" : "");
  };
  const part = excerpt(points, hit, answers > 2 ? LEAST_CHARACTERS : MOST_CHARACTERS);
  fill(part);
  if (part[1] - part[0] >= points.length) return [box];
  const whole = `Show all ${points.length.toLocaleString("en")} characters`;
  const more = element("button", { type: "button", class: "quiet more", "aria-expanded": "false", onclick: () => {
    const open = more.getAttribute("aria-expanded") === "false";
    more.setAttribute("aria-expanded", String(open));
    more.textContent = open ? "Show less" : whole;
    fill(open ? [0, points.length] : part);
  } }, whole);
  return [box, more];
}

function shownImage(doc, hit) {
  const seen = hit.chunks?.[0]?.image;
  const told = seen ? element("p", { class: "facts" }, `read as ${seen.width} × ${seen.height} pixels, ${plural(seen.tokens, "image token")}`) : null;
  const picture = isShown(doc) ? element("img", { src: doc.value, alt: doc.name || "image" }) : element("div", { class: "text" }, doc.value);
  return [picture, told];
}

// Each chunk with its logit; pointing at one shows where it lies.
function chips(hit) {
  const chunks = hit.chunks ?? [];
  if (chunks.length < 2) return null;
  const best = chunks.map((chunk, i) => ({ chunk, i })).sort((a, b) => b.chunk.logit - a.chunk.logit).slice(0, MOST_CHIPS);
  const list = element("ul", { class: "chips", "aria-label": "Chunks, best first" }, ...best.map(({ chunk, i }) =>
    element("li", { class: `chip ${chunk.won ? "won" : `c${i % 3}`}`, "data-chip": i }, chunk.won ? icon("won") : null,
      element("span", {}, `${i + 1}: ${number(chunk.logit, 2)}`), chunk.won ? element("span", { class: "visually-hidden" }, "best chunk") : null)));
  if (chunks.length > MOST_CHIPS) list.append(element("li", { class: "hint" }, `and ${chunks.length - MOST_CHIPS} lower`));
  return list;
}

// Matches of the same words as one, loudest first.
function together(matches, asked, found) {
  const cut = (points, [start, end]) => points.slice(start, end).join("");
  const pairs = new Map();
  for (const match of matches) {
    const pair = { asked: cut(asked, match.query), found: cut(found, match.document), kind: match.kind, score: match.score, count: 0 };
    const name = [pair.asked, pair.found, pair.kind].join("\n").toLowerCase();
    if (!pairs.has(name)) pairs.set(name, pair);
    pairs.get(name).count++;
  }
  return [...pairs.values()];
}

// Partial scores, and words that speak for each other: as numbers, for all who do not point.
function details(hit, doc, query) {
  const scores = Object.entries(hit.parts ?? {});
  const matches = [...(hit.matches ?? [])].sort((a, b) => b.score - a.score);
  if (!scores.length && !matches.length) return null;
  const box = element("details", { class: "parts" }, element("summary", {}, "How the score came about"));
  box.addEventListener("toggle", () => {
    if (!box.open || box.children.length > 1) return;
    if (scores.length) box.append(element("dl", {}, ...scores.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, number(value))])));
    if (!matches.length) return;
    const pairs = together(matches, Array.from(query), Array.from(doc.value));
    box.append(element("table", {},
      element("thead", {}, element("tr", {}, ...["Query", "Document", "By", "Score"].map((name, i) => element("th", { scope: "col", class: i === 3 ? "n" : "" }, name)))),
      element("tbody", {}, ...pairs.slice(0, MOST_MATCHES).map((pair) => element("tr", {},
        element("td", {}, pair.asked), element("td", {}, pair.count > 1 ? `${pair.found} × ${pair.count}` : pair.found),
        element("td", {}, pair.kind), element("td", { class: "n" }, number(pair.score, 2)))))));
    if (pairs.length > MOST_MATCHES) box.append(element("p", { class: "hint" }, `and ${pairs.length - MOST_MATCHES} more`));
  });
  return box;
}

export function tellGrade(button, index, grade) {
  button.setAttribute("aria-pressed", String(grade > 0));
  button.title = grade > 0 ? "Relevant" : "Mark as relevant";
  button.setAttribute("aria-label", `Document ${index + 1} is relevant`);
}

export function shownHit(hit, rank, result, page) {
  const doc = page.sent[hit.index];
  const tokens = hit.chunks?.some((chunk) => chunk.tokens != null) ? hit.chunks.reduce((sum, chunk) => sum + (chunk.tokens ?? 0), 0) : null;
  const facts = [
    hit.logit == null ? null : `logit ${number(hit.logit)}`,
    tokens == null ? null : plural(tokens, "token"),
    hit.chunks?.length > 1 ? plural(hit.chunks.length, "chunk") : null,
    hit.stage ? `scored by ${hit.stage}` : null,
  ].filter(Boolean);
  const star = element("button", { type: "button", class: "star", onclick: () => page.mark(hit.index) }, icon("relevant"));
  tellGrade(star, hit.index, page.grade(hit.index));
  const cut = hit.truncated ? element("span", { class: "tag warn", title: hit.cut_at == null ? "" : `read up to character ${hit.cut_at}` }, "cut") : null;
  return element("li", { class: `hit${hit.relevance_score < result.floor ? " dropped" : ""}`, "data-index": hit.index },
    element("div", { class: "head" },
      element("span", { class: "rank" }, `${rank}.`), element("span", { class: "score" }, number(hit.relevance_score)),
      element("span", { class: "facts" }, `document ${hit.index + 1}${doc.name ? ` · ${doc.name}` : ""}`), cut, star),
    bar(hit.relevance_score, result.axis),
    ...(doc.kind === "image" ? shownImage(doc, hit) : shownText(doc, hit, page.answers, result.weigh)),
    chips(hit),
    facts.length ? element("p", { class: "facts" }, facts.join(" · ")) : null,
    details(hit, doc, page.query));
}
