// Documents from what is pasted or dropped: texts, JSON lines, CSV, images.

export const MOST = 200; // documents on the page
export const MOST_FILE = 20 * 2 ** 20; // bytes of one file
const IMAGE = /^image\/(png|jpeg|webp|gif)$/;
const FIELDS = ["text", "document", "content", "passage", "body", "contents"];
let last = 0;

// A document of the page. `id` stays its own wherever it is moved.
const made = (kind, value, name) => ({ id: ++last, kind, value, name });
export const text = (value, name = "") => made("text", value, name);
export const image = (value, name = "") => made("image", value, name);

export function split(value, by) {
  const parts = by === "blank" ? value.split(/\n\s*\n/) : value.split(/\r?\n/);
  return parts.map((part) => part.trim()).filter(Boolean).map((part) => text(part));
}

// Rows of CSV as {fields, line}, quotes as in RFC 4180. Throws where a quote is not closed.
export function* csvRows(value, separator) {
  let row = [], field = "", quoted = false, line = 1, start = 1, opened = 0;
  for (let i = 0; i < value.length; i++) {
    const c = value[i];
    if (c === "\n") line++;
    if (quoted) {
      if (c !== '"') field += c;
      else if (value[i + 1] === '"') { field += '"'; i++; }
      else quoted = false;
    } else if (c === '"' && field === "") { quoted = true; opened = line; }
    else if (c === separator) { row.push(field); field = ""; }
    else if (c === "\n") {
      row.push(field.replace(/\r$/, ""));
      yield { fields: row, line: start };
      row = []; field = ""; start = line;
    } else field += c;
  }
  if (quoted) throw new Error(`line ${opened}: a quote is not closed.`);
  if (field !== "" || row.length) { row.push(field.replace(/\r$/, "")); yield { fields: row, line: start }; }
}

function fromObject(found, where) {
  if (typeof found === "string" && found.trim()) return text(found);
  if (found && typeof found === "object") {
    if (typeof found.image === "string") return image(found.image);
    const name = FIELDS.find((field) => typeof found[field] === "string" && found[field].trim());
    if (name) return text(found[name]);
  }
  throw new Error(`${where}: needs a text, or an object with ${FIELDS.join(", ")} or image.`);
}

function parsed(value) {
  try {
    return { found: JSON.parse(value) };
  } catch {
    return null;
  }
}

export function fromLines(name, value) {
  return value
    .split(/\r?\n/)
    .map((line, i) => [line.trim(), `${name}, line ${i + 1}`])
    .filter(([line]) => line)
    .map(([line, where]) => {
      const json = parsed(line);
      if (!json) throw new Error(`${where}: is not JSON.`);
      return fromObject(json.found, where);
    });
}

export function fromJson(name, value) {
  const json = parsed(value);
  if (!json) return fromLines(name, value);
  const { found } = json;
  const list = Array.isArray(found) ? found : (found?.documents ?? found?.texts ?? [found]);
  if (!Array.isArray(list)) throw new Error(`${name}: its documents are not a list.`);
  return list.map((each, i) => fromObject(each, `${name}, entry ${i + 1}`));
}

export function fromCsv(name, value, separator) {
  let rows;
  try {
    rows = [...csvRows(value, separator)].filter(({ fields }) => fields.some((field) => field.trim()));
  } catch (error) {
    throw new Error(`${name}, ${error.message}`);
  }
  if (!rows.length) return [];
  const head = rows[0].fields.map((field) => field.trim().toLowerCase());
  const column = FIELDS.map((field) => head.indexOf(field)).find((at) => at >= 0);
  if (column === undefined && head.length > 1)
    throw new Error(`${name}, line ${rows[0].line}: names no column ${FIELDS.join(", ")}.`);
  return rows.slice(column === undefined ? 0 : 1).map(({ fields, line }) => {
    const found = fields[column ?? 0]?.trim();
    if (!found) throw new Error(`${name}, line ${line}: has no text in column ${(column ?? 0) + 1}.`);
    return text(found);
  });
}

// The documents of a file's text, by the end of its name. Throws an Error with a sentence.
export function fromText(name, value) {
  const plain = value.replace(/^\uFEFF/, "");
  const end = name.slice(name.lastIndexOf(".") + 1).toLowerCase();
  let found;
  if (end === "json") found = fromJson(name, plain);
  else if (end === "jsonl" || end === "ndjson") found = fromLines(name, plain);
  else if (end === "csv" || end === "tsv") found = fromCsv(name, plain, end === "csv" ? "," : "\t");
  else found = plain.trim() ? [text(plain.trim(), name)] : [];
  if (!found.length) throw new Error(`${name}: is empty.`);
  return found;
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
  if (file.size > MOST_FILE) throw new Error(`${file.name}: has ${file.size} bytes; at most ${MOST_FILE} are read here.`);
  if (IMAGE.test(file.type)) return [image(await dataUrl(file), file.name)];
  const bytes = new Uint8Array(await file.arrayBuffer());
  let value;
  try {
    value = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new Error(`${file.name}: is neither text in UTF-8 nor a PNG, JPEG, WebP or GIF.`);
  }
  return fromText(file.name, value);
}

export const wire = (document) => (document.kind === "image" ? { image: document.value } : document.value);

// Whether the page may show it: what lies elsewhere is the server's to fetch.
export const isShown = (document) => /^data:image\//.test(document.value);
