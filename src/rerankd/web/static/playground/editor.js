// The list of documents: written, moved, removed; by keyboard as well as by pointer.

import { isShown, MOST, split, text } from "./documents.js";
import { element, icon, plural } from "./dom.js";

const TALL = 160; // pixels a text grows to

export class Editor {
  // list: the <ol>; on.change() after each change; on.full(count) when documents found no room;
  // on.said(sentence) for what only eyes would see.
  constructor(list, on) {
    this.list = list;
    this.on = on;
    this.documents = [];
    this.readsImages = null; // of the chosen models: all, some, none
  }

  set(documents) {
    this.documents = documents.slice(0, MOST);
    this.draw();
    if (documents.length > MOST) this.on.full(documents.length - MOST);
  }

  add(found) {
    if (this.documents.length === 1 && this.documents[0].value === "") this.documents = [];
    const room = MOST - this.documents.length;
    this.set([...this.documents, ...found.slice(0, Math.max(0, room))]);
    if (found.length > room) this.on.full(found.length - room);
    else if (found.length > 1) this.on.said(`${plural(found.length, "document")} added.`);
  }

  // Says of every image whether a chosen model reads it.
  setReads(readsImages) {
    this.readsImages = readsImages;
    for (const note of this.list.querySelectorAll("[data-reads]")) this.#tellReads(note);
  }

  focus(at, what = "textarea") {
    const item = this.list.children[Math.max(0, Math.min(at, this.list.children.length - 1))];
    (item?.querySelector(what) ?? item?.querySelector(".grip"))?.focus();
  }

  draw() {
    this.list.replaceChildren(...this.documents.map((each, i) => this.#item(each, i)));
    this.#grow();
    this.on.change();
  }

  #grow() {
    const areas = [...this.list.querySelectorAll("textarea")];
    const heights = areas.map((area) => Math.min(area.scrollHeight + 2, TALL)); // all read, then all written
    areas.forEach((area, i) => area.style.setProperty("height", `${heights[i]}px`));
  }

  #at(item) {
    return [...this.list.children].indexOf(item);
  }

  #remove(item) {
    const at = this.#at(item);
    this.documents.splice(at, 1);
    if (!this.documents.length) this.documents = [text("")];
    this.draw();
    this.focus(at);
    this.on.said(`Document ${at + 1} removed.`);
  }

  #move(item, to, what) {
    const from = this.#at(item);
    if (to < 0 || to >= this.documents.length || from === to) return;
    this.documents.splice(to, 0, ...this.documents.splice(from, 1));
    this.draw();
    this.focus(to, what);
    this.on.said(`Document ${from + 1} is now ${to + 1}.`);
  }

  #keys(event, item, what) {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!step || !(event.altKey || what === ".grip")) return;
    event.preventDefault();
    this.#move(item, this.#at(item) + step, what);
  }

  #item(each, i) {
    const label = `Document ${i + 1}`;
    const item = element("li", { "data-id": each.id });
    const grip = element("button", {
      type: "button", class: "quiet grip", "aria-label": `Move document ${i + 1}: arrow keys`, title: "Drag, or arrow keys",
      onkeydown: (event) => this.#keys(event, item, ".grip"), onpointerdown: (event) => this.#drag(event, item),
    }, element("span", { class: "number" }, String(i + 1)), icon("grip"));
    const remove = element("button", {
      type: "button", class: "quiet remove", "aria-label": `Remove document ${i + 1}`, title: "Remove", onclick: () => this.#remove(item),
    }, icon("remove"));
    item.append(grip, each.kind === "image" ? this.#image(each, label) : this.#text(each, label, item), remove);
    return item;
  }

  #text(each, label, item) {
    const area = element("textarea", {
      "aria-label": label, rows: 1,
      oninput: () => {
        each.value = area.value;
        area.style.setProperty("height", "auto");
        area.style.setProperty("height", `${Math.min(area.scrollHeight + 2, TALL)}px`);
        this.on.change();
      },
      onkeydown: (event) => this.#keys(event, item, "textarea"),
      onpaste: (event) => this.#paste(event, area, item),
    });
    area.value = each.value;
    return area;
  }

  // Several lines pasted into an empty document: each may become a document of its own.
  #paste(event, area, item) {
    const pasted = event.clipboardData.getData("text");
    const lines = split(pasted, /\n\s*\n/.test(pasted.trim()) ? "blank" : "line");
    if (area.value !== "" || lines.length < 2) return;
    item.querySelector(".offer")?.remove();
    const offer = element("button", { type: "button", class: "offer", onclick: () => {
      const at = this.#at(item);
      this.documents.splice(at, 1);
      const behind = this.documents.splice(at);
      const room = MOST - at - behind.length;
      this.set([...this.documents, ...lines.slice(0, room), ...behind]);
      this.focus(at);
      if (lines.length > room) this.on.full(lines.length - room);
    } }, `Make ${lines.length} documents of these`);
    item.append(offer);
  }

  #image(each, label) {
    const facts = element("span", { class: "hint" }, each.name);
    const note = element("span", { class: "hint", "data-reads": true });
    this.#tellReads(note);
    if (!isShown(each)) return element("div", { class: "picture" }, element("span", {}, `Image: ${each.value.slice(0, 120)}`), note);
    const picture = element("img", {
      alt: each.name || label,
      onload: () => { facts.textContent = [each.name, `${picture.naturalWidth} × ${picture.naturalHeight} pixels`].filter(Boolean).join(" · "); },
      onerror: () => { facts.textContent = `${each.name || label}: this browser cannot show it.`; },
    });
    picture.src = each.value;
    return element("div", { class: "picture" }, picture, facts, note);
  }

  #tellReads(note) {
    const told = { none: "No chosen model reads images: the server will refuse it.", some: "Not all chosen models read images." };
    note.textContent = told[this.readsImages] ?? "";
    note.className = note.textContent ? "unreadable" : "hint";
  }

  // The others make room for the pointer (the item itself stays where it is in the tree, or it would
  // lose the pointer); the list is put in that order when it is let go.
  #drag(event, item) {
    if (event.button !== 0) return;
    const grip = event.currentTarget;
    grip.setPointerCapture(event.pointerId);
    item.classList.add("dragged");
    const move = ({ clientY }) => {
      const all = [...this.list.children];
      const at = all.indexOf(item);
      const middle = (each) => { const { top, height } = each.getBoundingClientRect(); return top + height / 2; };
      item.before(...all.slice(at + 1).filter((each) => middle(each) < clientY));
      item.after(...all.slice(0, at).filter((each) => middle(each) > clientY));
    };
    const end = () => {
      grip.removeEventListener("pointermove", move);
      item.classList.remove("dragged");
      const order = [...this.list.children].map((each) => Number(each.dataset.id));
      const known = new Map(this.documents.map((each) => [each.id, each]));
      const moved = order.some((id, i) => this.documents[i].id !== id);
      this.documents = order.map((id) => known.get(id));
      if (moved) {
        this.draw();
        this.focus(order.indexOf(Number(item.dataset.id)), ".grip");
      }
    };
    grip.addEventListener("pointermove", move);
    grip.addEventListener("lostpointercapture", end, { once: true });
  }
}
