import assert from "node:assert/strict";
import test from "node:test";
import { load } from "./modules.mjs";

const { csvRows, fromText, image, isShown, MOST_FILE, read, split, text, wire } = await load("documents");
const values = (found) => found.map((each) => each.value);
const refused = (name, value) => {
  let message = null;
  try { fromText(name, value); } catch (error) { message = error.message; }
  return message;
};

test("pasted texts are split by line or by blank lines", () => {
  assert.deepEqual(values(split("a\r\n\n b \nc", "line")), ["a", "b", "c"]);
  assert.deepEqual(values(split("a\nb\n \n\nc", "blank")), ["a\nb", "c"]);
});

test("documents keep an id of their own", () => {
  const ids = [text("a"), text("a"), image("b")].map((each) => each.id);
  assert.equal(new Set(ids).size, 3);
});

test("rows of CSV are those of RFC 4180", () => {
  const rows = [...csvRows('a,"b ""x"", y"\r\n"1\n2",3\n', ",")];
  assert.deepEqual(rows, [{ fields: ["a", 'b "x", y'], line: 1 }, { fields: ["1\n2", "3"], line: 2 }]);
  assert.deepEqual([...csvRows("a\tb", "\t")], [{ fields: ["a", "b"], line: 1 }]);
});

test("files are read by the end of their names", () => {
  assert.deepEqual(values(fromText("x.txt", "one\ntwo\n")), ["one\ntwo"]);
  assert.deepEqual(values(fromText("x.jsonl", '"a"\n\n{"text": "b", "id": 1}\n')), ["a", "b"]);
  assert.deepEqual(values(fromText("x.json", '{"documents": ["a", {"content": "b"}]}')), ["a", "b"]);
  assert.deepEqual(values(fromText("x.csv", "id,Text\n1,a\n2,\"b, c\"\n")), ["a", "b, c"]);
  assert.deepEqual(values(fromText("x.csv", "a\nb\n")), ["a", "b"]);
  assert.deepEqual(values(fromText("x.tsv", "text\tid\na\t1\n")), ["a"]);
  assert.deepEqual(values(fromText("x.csv", "\uFEFFtext\na\n")), ["a"]);
  assert.equal(fromText("x.jsonl", '{"image": "data:image/png;base64,AA"}')[0].kind, "image");
});

test("what is wrong is told with its line", () => {
  assert.equal(refused("x.jsonl", '"a"\n\n{"no'), "x.jsonl, line 3: is not JSON.");
  assert.match(refused("x.jsonl", '"a"\n{"id": 1}'), /^x\.jsonl, line 2: needs a text/);
  assert.match(refused("x.jsonl", "null"), /^x\.jsonl, line 1: needs a text/);
  assert.match(refused("x.json", '["a", 3]'), /^x\.json, entry 2: needs a text/);
  assert.match(refused("x.csv", "\nid,name\n1,a"), /^x\.csv, line 2: names no column/);
  assert.equal(refused("x.csv", 'text\na\n"b\nc'), "x.csv, line 3: a quote is not closed.");
  assert.equal(refused("x.tsv", "id\ttext\n1\ta\n2\t"), "x.tsv, line 3: has no text in column 2.");
  assert.equal(refused("x.txt", " \n"), "x.txt: is empty.");
});

test("a file is bounded before it is read, and must be text or an image", async () => {
  const file = (bytes, type = "") => ({ name: "x.txt", type, size: bytes.length, arrayBuffer: async () => bytes });
  await assert.rejects(read({ name: "x.txt", type: "", size: MOST_FILE + 1, arrayBuffer: () => assert.fail("read") }), /at most/);
  await assert.rejects(read(file(new Uint8Array([0xff, 0xfe, 0x00]))), /neither text in UTF-8 nor/);
  assert.deepEqual(values(await read(file(new TextEncoder().encode("é")))), ["é"]);
});

test("only what the page holds itself is shown", () => {
  assert.equal(isShown(image("data:image/png;base64,AA")), true);
  assert.equal(isShown(image("https://images.example.com/a.png")), false);
  assert.deepEqual(wire(image("u")), { image: "u" });
  assert.equal(wire(text("t")), "t");
});
