// The playground: the form, what is sent, what comes back.

import { order, showCompared, showOne, tellMarks, waiting } from "./answer.js";
import { key, models as servedModels, MOST_EXPLAINED, price, Refused, rerank } from "./api.js";
import { MOST, read, split, text, wire } from "./documents.js";
import { byId as $, element, plural } from "./dom.js";
import { Editor } from "./editor.js";
import { collection, download, zipped } from "./export.js";
import { fold, startFolding, unfold } from "./fold.js";
import { decode, encode } from "./link.js";
import { clearProblems, problem } from "./problems.js";
import { shortened, snippet, SNIPPETS } from "./snippets.js";

const MOST_MODELS = 4;
const LONG_LINK = 30_000; // characters; some programs cut longer addresses
const OPTIONS = ["instruction", "max_chunks_per_doc", "overlap_tokens", "max_tokens_per_doc"];
const EXAMPLE = {
  query: "Which city is the capital of Japan?",
  documents: [
    "Kyoto was the seat of the emperor for more than a thousand years.",
    "Tokio ist die Hauptstadt Japans und die größte Metropolregion der Welt.",
    "Tokyo is the capital of Japan and its most populous metropolis.",
    "Osaka is a large port city on the island of Honshu.",
    "The capital of a company is what its owners have put into it.",
  ],
};

// sent: the documents of the shown answers; isEdited: the form, since it was sent; grades: document id -> grade.
const page = {
  served: [], results: [], sent: [], query: "", answers: 0, run: 0, isEdited: false, grades: new Map(), beside: null, k: null,
  notExplained: `No places and chunks: they come for up to ${MOST_EXPLAINED} documents, of a model of this server, with a key that may ask for them.`,
  grade: (index) => page.grades.get(page.sent[index].id) ?? 0,
  gradesByIndex: () => new Map(page.sent.map((each, i) => [i, page.grades.get(each.id) ?? 0])),
  mark(index) {
    const { id } = page.sent[index];
    page.grades.set(id, page.grades.get(id) ? 0 : 1);
    tellMarks($("results"), page.results, page);
    tellJudged();
  },
  compare(focus) {
    showCompared($("compared"), page.results, page);
    tellMarks($("results"), page.results, page);
    if (focus) $("compared").querySelector(focus)?.focus();
  },
};

const say = (sentence) => { $("said").textContent = sentence; };

// -- documents

const editor = new Editor($("documents"), {
  change: () => changed(),
  said: say,
  full: (left) => problem("documents", `${plural(left, "document was", "documents were")} left out: this page takes ${MOST}. rerankd eval and the API take more.`),
});

async function load(files) {
  problem("documents", "");
  const problems = [];
  for (const file of files) {
    try {
      editor.add(await read(file));
    } catch (error) {
      problems.push(error.message);
    }
  }
  if (problems.length) problem("documents", problems.join("\n"));
}

// -- models

const chosen = () => [...$("models").querySelectorAll("input:checked")].map((box) => box.value);
const cardOf = (id) => page.served.find((each) => each.id === id);

let listing = Promise.resolve(); // the models that were asked for last, settled when they are shown

const listModels = (wanted) => (listing = showModels(wanted));

async function showModels(wanted) {
  try {
    page.served = await servedModels();
    problem("model", page.served.length ? "" : "This key may use no model that ranks.");
  } catch (error) {
    page.served = [];
    if (error.status === 401) {
      problem("key", key.get() ? "The server does not know this key." : "This server needs an API key.");
      $("key").focus();
    } else problem("model", error.message);
  }
  const before = new Set(wanted ?? chosen());
  const isKnown = page.served.some((each) => before.has(each.id));
  $("models").replaceChildren(...page.served.map((each, i) => {
    const facts = [each.root === each.id ? null : `= ${each.root}`, each.modalities?.includes("image") ? "reads images" : null, each.engine ?? (each.state === "loading" ? "loading" : null)];
    return element("label", {},
      element("input", { type: "checkbox", name: "model", value: each.id, checked: isKnown ? before.has(each.id) : i === 0, onchange: limitModels }),
      element("span", { class: "id" }, each.id), element("span", { class: "hint" }, facts.filter(Boolean).join(" · ")));
  }));
  limitModels();
}

function limitModels() {
  const full = chosen().length >= MOST_MODELS;
  for (const box of $("models").querySelectorAll("input")) box.disabled = full && !box.checked;
  const reading = chosen().filter((id) => cardOf(id)?.modalities?.includes("image")).length;
  editor.setReads(reading === 0 ? "none" : reading < chosen().length ? "some" : "all");
  changed();
}

// -- asking

function options() {
  const found = {};
  for (const name of OPTIONS) {
    const value = $(name).value.trim();
    if (value !== "") found[name] = name !== "instruction" && /^-?\d+$/.test(value) ? Number(value) : value;
  }
  return found;
}

const ask = (model) => ({
  model, query: $("query").value, documents: editor.documents.map(wire), options: options(),
  origin: location.origin, hasKey: Boolean(key.get()),
});

async function answered(model, number) {
  const { query, documents } = ask(model);
  try {
    return { model, number, calibrated: cardOf(model)?.floor ?? null, ...(await rerank({ model, query, documents, ...options() })) };
  } catch (error) {
    return { model, number, error: error instanceof Refused ? error : new Error(`This page failed: ${error.message}`) };
  }
}

async function go(event) {
  event.preventDefault();
  clearProblems();
  await listing; // who is faster than the list means what it will say
  const wanted = chosen();
  if (!wanted.length) return problem("model", page.served.length ? "Choose at least one model." : "No model to ask.");
  if (editor.documents.length === 1 && editor.documents[0].value === "") {
    problem("documents", "Add at least one document.");
    return editor.focus(0);
  }
  const run = ++page.run;
  page.isEdited = false;
  say(`Ranking ${plural(editor.documents.length, "document")} with ${plural(wanted.length, "model")} …`);
  $("go").setAttribute("aria-busy", "true");
  Object.assign(page, { sent: editor.documents.map((each) => ({ ...each })), query: $("query").value, results: [], answers: wanted.length, beside: null, k: null });
  $("results").replaceChildren(element("div", { id: "compared" }), element("div", { class: "answers" }, ...wanted.map(waiting)), element("section", { class: "card", id: "judged", hidden: true }));
  await Promise.all(wanted.map(async (model, number) => {
    const result = await answered(model, number);
    if (run === page.run) shown(result);
  }));
  if (run !== page.run) return;
  $("go").removeAttribute("aria-busy");
  const good = page.results.filter((result) => result.answer);
  tellRefusals();
  say(good.length ? good.map((result) => `${result.model}: document ${order(result)[0] + 1} first`).join("; ") : "Refused.");
  if (good.length === wanted.length && !page.isEdited) fold(`${page.query} · ${plural(page.sent.length, "document")}`);
}

let comparing = 0;

// An answer is there: on the screen at once, others follow when they come.
function shown(result) {
  const mark = performance.mark("rerankd:answer");
  page.results[result.number] = result;
  showOne($("results"), result, page);
  tellMarks($("results"), page.results, page);
  tellJudged();
  cancelAnimationFrame(comparing); // once a frame, however many answers come at once
  comparing = requestAnimationFrame(() => page.compare());
  if (result.answer) price(result.answer.id).then((told) => {
    result.price = told;
    if (told && page.results[result.number] === result) tellMarks($("results"), page.results, page);
  });
  performance.measure(`rerankd:drawn ${result.number}`, "rerankd:answer");
  requestAnimationFrame(() => setTimeout(() => performance.measure(`rerankd:shown ${result.number}`, { start: mark.startTime })));
}

// Each of the server's sentences at the field that it names, with whom it is of unless it is of all.
function tellRefusals() {
  const refused = page.results.filter((result) => result.error);
  for (const { error } of new Map(refused.map((result) => [result.error.message, result])).values()) {
    const of = refused.filter((result) => result.error.message === error.message).map((result) => result.model);
    const field = error.status === 401 ? "key" : (error.field ?? "");
    problem(field, of.length < page.results.length ? `${of.join(", ")}: ${error.message}` : error.message, { more: true });
    if (field !== "documents" || error.index == null) continue;
    const item = $("documents").children[error.index];
    item?.classList.add("wrong");
    item?.querySelector("textarea")?.setAttribute("aria-invalid", "true");
    item?.scrollIntoView({ block: "nearest" });
  }
}

// -- judgements

function tellJudged() {
  const place = $("judged");
  if (!place || !page.results.some((result) => result?.answer)) return;
  const marked = page.sent.filter((each) => page.grades.get(each.id) > 0).length;
  const isText = page.sent.every((each) => each.kind === "text");
  if (place.hidden) {
    place.hidden = false;
    place.replaceChildren(element("h2", {}, "Judgements"), element("p", {}),
      element("button", { type: "button", onclick: save }, "Save as a collection"),
      element("p", { class: "hint" }, "A zip of one folder: ", element("code", {}, "rerankd eval playground"), " measures any model with it."));
  }
  place.querySelector("p").textContent = !isText ? "Collections hold texts: lists with images cannot be saved."
    : marked ? `${marked} of ${page.sent.length} marked as relevant.` : "Mark what is relevant: nDCG appears, and the query can be kept as a test.";
  place.querySelector("button").disabled = !marked || !isText;
}

async function save() {
  const texts = page.sent.map((each) => each.value);
  download("playground.zip", await zipped(collection(page.query, texts, page.gradesByIndex())));
}

// -- code and links

let pending = 0;
function changed() {
  page.isEdited = true;
  unfold();
  $("count").textContent = String(editor.documents.length);
  clearTimeout(pending);
  pending = setTimeout(() => { $("snippet-text").textContent = shortened(program()); }, 120);
}

const program = () => snippet($("snippet").value, ask(chosen()[0] ?? page.served[0]?.id ?? "MODEL"));

async function copied(value, button) {
  const before = button.dataset.name ??= button.textContent;
  try {
    await navigator.clipboard.writeText(value);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not allowed by the browser";
  }
  say(button.textContent);
  setTimeout(() => (button.textContent = before), 1500);
}

function share(event) {
  const texts = editor.documents.filter((each) => each.kind === "text").map((each) => each.value);
  const link = `${location.origin}/${encode({ query: $("query").value, documents: texts, options: options(), models: chosen() })}`;
  const images = editor.documents.length - texts.length;
  const told = [images ? `${plural(images, "image")} left out.` : "", link.length > LONG_LINK ? `${link.length.toLocaleString("en")} characters: some programs cut that.` : ""];
  $("link-said").textContent = told.filter(Boolean).join(" ");
  copied(link, event.currentTarget);
}

// -- start

function fill(shared) {
  $("query").value = shared.query;
  for (const name of OPTIONS) $(name).value = String(shared.options?.[name] ?? "");
  if (Object.keys(shared.options ?? {}).length) $("options").open = true;
  editor.set(shared.documents.length ? shared.documents.map((each) => text(each)) : [text("")]);
}

function drops() {
  let depth = 0; // of elements that the pointer has entered
  const over = (now) => document.body.classList.toggle("dropping", now);
  addEventListener("dragenter", () => over(++depth > 0));
  addEventListener("dragleave", () => over(--depth > 0));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    over((depth = 0) > 0);
    if (event.target.matches("textarea, input") && !event.dataTransfer.files.length) return;
    event.preventDefault();
    if (event.dataTransfer.files.length) load(event.dataTransfer.files);
    else editor.add(split(event.dataTransfer.getData("text"), "line"));
  });
  addEventListener("paste", (event) => { // images of the clipboard
    const files = [...event.clipboardData.files].filter((file) => file.type.startsWith("image/"));
    if (files.length) load(files);
  });
}

function start() {
  const shared = decode(location.hash);
  for (const [label, group] of Object.entries(SNIPPETS))
    $("snippet").append(element("optgroup", { label }, ...Object.keys(group).map((name) => element("option", {}, name))));
  $("key").value = key.get();
  fill(shared ?? EXAMPLE);
  $("ask").addEventListener("submit", go);
  $("ask").addEventListener("input", changed);
  $("ask").addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("ask").requestSubmit(); });
  $("snippet").addEventListener("change", changed);
  $("add").addEventListener("click", () => { editor.set([...editor.documents, text("")]); editor.focus(editor.documents.length - 1); });
  $("clear").addEventListener("click", () => { editor.set([text("")]); editor.focus(0); });
  $("take").addEventListener("click", () => {
    editor.add(split($("paste").value, document.querySelector("[name=split]:checked").value));
    $("paste").value = "";
  });
  $("files").addEventListener("change", (event) => load([...event.target.files]).then(() => { event.target.value = ""; }, () => {}));
  $("key").addEventListener("change", () => { key.set($("key").value.trim()); clearProblems(); listModels(); });
  $("copy").addEventListener("click", (event) => copied(program(), event.currentTarget));
  $("share").addEventListener("click", share);
  addEventListener("hashchange", () => { const found = decode(location.hash); if (found) { fill(found); listModels(found.models); } });
  drops();
  startFolding();
  listModels(shared?.models);
}

start();
