// The playground: the form, what is sent, what comes back.

import { key, models as servedModels, Refused, rerank } from "./api.js";
import { element, show } from "./answer.js";
import { MOST, read, split, text, wire } from "./documents.js";
import { collection, download } from "./export.js";
import { SNIPPETS } from "./snippets.js";

const $ = (id) => document.getElementById(id);
const MOST_MODELS = 4;
const EXAMPLE = {
  query: "Which city is the capital of Japan?",
  documents: [
    "Kyoto was the seat of the emperor for more than a thousand years.",
    "東京都は日本の首都であり、世界最大級の都市圏の中心である。",
    "Tokyo is the capital of Japan and its most populous metropolis.",
    "Osaka is a large port city on the island of Honshu.",
    "The capital of a company is what its owners have put into it.",
  ],
};

const page = { documents: [], served: [], results: [], sent: [], grades: new Map(), run: 0 };

// -- documents

function tellCount() {
  $("count").textContent = `${page.documents.length}`;
}

function listDocuments() {
  $("documents").replaceChildren(
    ...page.documents.map((each, i) => {
      const label = `Document ${i + 1}`;
      const body =
        each.kind === "image"
          ? element("img", { src: each.value, alt: each.name || label })
          : element("textarea", { "aria-label": label, rows: 1, oninput: (event) => { each.value = event.target.value; changed(); } });
      if (each.kind === "text") body.value = each.value;
      const remove = element("button", { type: "button", class: "quiet", "aria-label": `Remove document ${i + 1}`, onclick: () => { page.documents.splice(i, 1); page.grades.clear(); listDocuments(); changed(); } }, "Remove");
      return element("li", {}, element("span", { class: "number", "aria-hidden": "true" }, String(i + 1)), body, remove);
    }),
  );
  tellCount();
}

function add(found) {
  if (page.documents.length === 1 && page.documents[0].value === "") page.documents = [];
  const room = MOST - page.documents.length;
  if (found.length > room) problem("documents", `documents: this page takes ${MOST}; ${found.length - room} were left out. rerankd eval and bulk take more.`);
  page.documents.push(...found.slice(0, room));
  listDocuments();
  changed();
}

async function load(files) {
  problem("documents", "");
  for (const file of files) {
    try {
      add(await read(file));
    } catch (error) {
      problem("documents", error.message);
    }
  }
}

// -- problems, each at its field

function problem(field, message) {
  const place = document.querySelector(`[data-problem="${field}"]`) ?? document.querySelector('[data-problem=""]');
  place.textContent = message;
  place.hidden = !message;
  const input = field && $(field);
  if (input) message ? input.setAttribute("aria-invalid", "true") : input.removeAttribute("aria-invalid");
  if (message) place.closest("details")?.setAttribute("open", "");
}

function clearProblems() {
  for (const place of document.querySelectorAll("[data-problem]")) problem(place.dataset.problem, "");
}

// -- models

const chosen = () => [...document.querySelectorAll("#models input:checked")].map((box) => box.value);

async function listModels() {
  try {
    page.served = await servedModels();
    problem("model", "");
  } catch (error) {
    page.served = [];
    if (error.status === 401) {
      $("access").open = true;
      problem("", "This server needs an API key: enter one below.");
    } else problem("model", error.message);
  }
  const before = new Set(chosen());
  $("models").replaceChildren(
    ...page.served.map((each, i) =>
      element("label", {},
        element("input", { type: "checkbox", value: each.id, checked: before.size ? before.has(each.id) : i === 0, onchange: limitModels }),
        element("span", {}, each.id),
        element("span", { class: "hint" }, each.root === each.id ? (each.engine ?? "loading") : `= ${each.root}`))),
  );
  limitModels();
}

function limitModels() {
  const full = chosen().length >= MOST_MODELS;
  for (const box of document.querySelectorAll("#models input")) box.disabled = full && !box.checked;
  changed();
}

// -- asking

function options() {
  const found = {};
  const instruction = $("instruction").value.trim();
  if (instruction) found.instruction = instruction;
  for (const name of ["max_chunks_per_doc", "overlap_tokens", "max_tokens_per_doc"]) {
    const value = $(name).value.trim();
    if (value !== "") found[name] = /^-?\d+$/.test(value) ? Number(value) : value;
  }
  return found;
}

const ask = (model) => ({
  model, query: $("query").value, documents: page.documents.map(wire), options: options(),
  origin: location.origin, hasKey: Boolean(key.get()),
});

async function go(event) {
  event.preventDefault();
  clearProblems();
  const wanted = chosen();
  if (!wanted.length) return problem("model", "model: choose at least one.");
  if (!page.documents.length) return problem("documents", "documents: add at least one.");
  const run = ++page.run;
  $("busy").textContent = "Ranking …";
  page.sent = page.documents.map((each) => ({ ...each }));
  page.query = $("query").value;
  const asked = wanted.map(async (model, i) => {
    const { query, documents } = ask(model);
    try {
      return { model, number: i, ...(await rerank({ model, query, documents, ...options() })) };
    } catch (error) {
      return { model, number: i, error: error instanceof Refused ? error : new Error(String(error)) };
    }
  });
  const results = await Promise.all(asked);
  if (run !== page.run) return;
  $("busy").textContent = "";
  page.results = results;
  const refusal = results.find((result) => result.error)?.error;
  if (refusal && results.every((result) => result.error)) {
    problem(refusal.field, refusal.message);
    if (refusal.status === 401) $("access").open = true;
  }
  draw();
}

function draw() {
  show($("results"), page.results, {
    sent: page.sent,
    grades: page.grades,
    mark(index) {
      page.grades.set(index, page.grades.get(index) ? 0 : 1);
      draw();
      $("results").querySelector(`[data-index="${index}"] .star`)?.focus();
    },
    judged() {
      const marked = [...page.grades.values()].filter(Boolean).length;
      const isText = page.sent.every((each) => each.kind === "text");
      const save = element("button", { type: "button", disabled: !marked || !isText, onclick: () => {
        for (const [name, content] of Object.entries(collection(page.query, page.sent, page.grades))) download(name, content);
      } }, "Save as a collection");
      const told = marked ? `${marked} marked relevant.` : "Mark what is relevant to see nDCG, and to keep the query as a test.";
      return element("section", { class: "card" }, element("h2", {}, "Judgements"), element("p", {}, told), save,
        element("p", { class: "hint" }, "Four files for one folder: rerankd eval FOLDER measures any model with them."));
    },
  });
}

// -- code and links

function changed() {
  const name = $("snippet").value;
  if (name) $("snippet-text").textContent = SNIPPETS[name](ask(chosen()[0] ?? page.served[0]?.id ?? "MODEL"));
}

async function copied(value, button) {
  await navigator.clipboard.writeText(value);
  const before = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = before), 1500);
}

const encode = (value) => btoa(String.fromCodePoint(...new TextEncoder().encode(value)));
const decode = (value) => new TextDecoder().decode(Uint8Array.from(atob(value), (c) => c.codePointAt(0)));

function link() {
  const texts = page.documents.filter((each) => each.kind === "text").map((each) => each.value);
  const shared = { query: $("query").value, documents: texts, options: options(), models: chosen() };
  return `${location.origin}/#q=${encodeURIComponent(encode(JSON.stringify(shared)))}`;
}

function opened() {
  const found = /^#q=(.+)$/.exec(location.hash);
  if (!found) return null;
  try {
    const shared = JSON.parse(decode(decodeURIComponent(found[1])));
    return typeof shared.query === "string" && Array.isArray(shared.documents) ? shared : null;
  } catch {
    return null;
  }
}

// -- start

function start() {
  const shared = opened() ?? EXAMPLE;
  $("query").value = shared.query;
  page.documents = shared.documents.filter((each) => typeof each === "string").slice(0, MOST).map((each) => text(each));
  for (const [name, value] of Object.entries(shared.options ?? {})) if ($(name)) $(name).value = String(value);
  listDocuments();
  $("snippet").append(...Object.keys(SNIPPETS).map((name) => element("option", {}, name)));
  $("key").value = key.get();
  $("ask").addEventListener("submit", go);
  $("ask").addEventListener("input", changed);
  $("snippet").addEventListener("change", changed);
  $("add").addEventListener("click", () => { add([text("")]); $("documents").querySelector("li:last-child textarea")?.focus(); });
  $("clear").addEventListener("click", () => { page.documents = [text("")]; page.grades.clear(); listDocuments(); changed(); });
  $("take").addEventListener("click", () => { add(split($("paste").value, document.querySelector("[name=split]:checked").value)); $("paste").value = ""; });
  $("files").addEventListener("change", (event) => { load(event.target.files); event.target.value = ""; });
  $("key").addEventListener("change", (event) => { key.set(event.target.value.trim()); clearProblems(); listModels(); });
  $("copy").addEventListener("click", (event) => copied($("snippet-text").textContent, event.target));
  $("share").addEventListener("click", (event) => copied(link(), event.target));
  addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dropping"); });
  addEventListener("dragleave", () => document.body.classList.remove("dropping"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    if (event.dataTransfer.files.length) load(event.dataTransfer.files);
    else add(split(event.dataTransfer.getData("text"), "line"));
  });
  listModels();
}

start();
