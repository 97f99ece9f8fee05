// Documents from what is pasted or dropped: texts, JSON lines, CSV, images.

export const MOST = 200; // documents on the page
const IMAGE = /^image\/(png|jpeg|webp|gif)$/;
const FIELDS = ["text", "document", "content", "passage", "body", "contents"];

export const text = (value, name = "") => ({ kind: "text", value, name });

export function split(value, by) {
  const parts = by === "blank" ? value.split(/\n\s*\n/) : value.split(/\r?\n/);
  return parts.map((part) => part.trim()).filter(Boolean).map((part) => text(part));
}

// One row of CSV after the other, quotes as in RFC 4180.
export function* csvRows(value, separator) {
  let row = [], field = "", quoted = false;
  for (let i = 0; i < value.length; i++) {
    const c = value[i];
    if (quoted) {
      if (c !== '"') field += c;
      else if (value[i + 1] === '"') { field += '"'; i++; }
      else quoted = false;
    } else if (c === '"' && field === "") quoted = true;
    else if (c === separator) { row.push(field); field = ""; }
    else if (c === "\n") { row.push(field.replace(/\r$/, "")); yield row; row = []; field = ""; }
    else field += c;
  }
  if (field !== "" || row.length) { row.push(field.replace(/\r$/, "")); yield row; }
}

function fromObject(found, where) {
  if (typeof found === "string") return text(found);
  if (found && typeof found === "object") {
    if (typeof found.image === "string") return { kind: "image", value: found.image, name: "" };
    const name = FIELDS.find((field) => typeof found[field] === "string");
    if (name) return text(found[name]);
  }
  throw new Error(`${where}: needs a text, or an object with ${FIELDS.join(", ")}.`);
}

function fromJson(name, value) {
  let found;
  try {
    found = JSON.parse(value);
  } catch {
    return value
      .split(/\r?\n/)
      .map((line, i) => [line.trim(), i + 1])
      .filter(([line]) => line)
      .map(([line, number]) => {
        let parsed;
        try {
          parsed = JSON.parse(line);
        } catch {
          throw new Error(`${name}, line ${number}: is not JSON.`);
        }
        return fromObject(parsed, `${name}, line ${number}`);
      });
  }
  const list = Array.isArray(found) ? found : (found.documents ?? found.texts ?? [found]);
  return list.map((each, i) => fromObject(each, `${name}, entry ${i + 1}`));
}

function fromCsv(name, value, separator) {
  const rows = [...csvRows(value, separator)].filter((row) => row.some((field) => field.trim()));
  if (!rows.length) return [];
  const head = rows[0].map((field) => field.trim().toLowerCase());
  const column = FIELDS.map((field) => head.indexOf(field)).find((at) => at >= 0);
  if (column === undefined && rows[0].length > 1)
    throw new Error(`${name}: its first line names no column ${FIELDS.join(", ")}.`);
  return rows.slice(column === undefined ? 0 : 1).map((row) => text(row[column ?? 0] ?? ""));
}

const dataUrl = (file) =>
  new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.onerror = () => failed(new Error(`${file.name}: cannot be read.`));
    reader.readAsDataURL(file);
  });

// The documents of a file. Throws an Error with a sentence.
export async function read(file) {
  if (IMAGE.test(file.type))
    return [{ kind: "image", value: await dataUrl(file), name: file.name }];
  const name = file.name, end = name.slice(name.lastIndexOf(".") + 1).toLowerCase();
  const value = await file.text();
  if (["jsonl", "ndjson", "json"].includes(end)) return fromJson(name, value);
  if (end === "csv" || end === "tsv") return fromCsv(name, value, end === "csv" ? "," : "\t");
  return [text(value.trim(), name)];
}

export const wire = (document) =>
  document.kind === "image" ? { image: document.value } : document.value;
