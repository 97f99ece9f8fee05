import assert from "node:assert/strict";
import test from "node:test";
import { load } from "./modules.mjs";

const { excerpt, pieces, queryPieces, QUIET, touches, weights } = await load("pieces");
const word = (query, document, score) => ({ query, document, score, kind: "word" });

test("a text is cut at every boundary and none of it is lost", () => {
  const points = Array.from("a🦊b cut here");
  const chunks = [{ start: 0, end: 4, logit: 1, won: false }, { start: 2, end: 7, logit: 2, won: true }];
  const found = pieces(points, { chunks, matches: [word([0, 1], [1, 2], 3)], cutAt: 7 });
  assert.equal(found.map((piece) => piece.text).join(""), "a🦊b cut here");
  assert.deepEqual(found.map((piece) => [piece.text, piece.index, piece.matches.length, piece.unread]), [
    ["a", 0, 0, false], ["🦊", 0, 1, false], ["b ", 1, 0, false], ["cut", 1, 0, false], [" here", null, 0, true],
  ]);
});

test("where chunks share characters the winner is shown", () => {
  const chunks = [{ start: 0, end: 6, won: false }, { start: 3, end: 9, won: true }];
  const found = pieces(Array.from("abcdefghi"), { chunks });
  assert.deepEqual(found.map((piece) => [piece.text, piece.index]), [["abc", 0], ["def", 1], ["ghi", 1]]);
});

test("an image's chunk has no place", () => {
  assert.equal(pieces(["x"], { chunks: [{ start: null, end: null, won: true }] })[0].chunk, null);
});

test("a part is cut out with the same pieces", () => {
  const found = pieces(Array.from("abcdef"), { matches: [word([0, 1], [1, 4], 1)], from: 2, to: 5 });
  assert.deepEqual(found.map((piece) => [piece.text, piece.matches.length]), [["cd", 1], ["e", 0]]);
});

test("words that are everywhere are quiet, each kind beside its own best", () => {
  const rare = word([0, 1], [0, 1], 8), stop = word([0, 1], [0, 1], 0.9);
  const meaning = { ...rare, score: 0.5, kind: "meaning" };
  const weigh = weights([{ matches: [rare, stop, meaning] }, {}]);
  assert.equal(weigh(rare), 1);
  assert.equal(weigh(meaning), 1);
  assert.ok(weigh(stop) < QUIET);
  assert.equal(weights([{ matches: [word([0, 1], [0, 1], -1)] }])(word([0, 1], [0, 1], -1)), 0);
});

test("the query's named words are pieces of it", () => {
  const found = queryPieces(Array.from("the red fox"), [{ matches: [word([4, 7], [0, 3], 1), word([8, 11], [0, 3], 1)] }]);
  assert.deepEqual(found.map((piece) => [piece.text, piece.named]), [["the ", false], ["red", true], [" ", false], ["fox", true]]);
  assert.equal(touches([0, 4], [3, 5]), true);
  assert.equal(touches([0, 4], [4, 5]), false);
});

test("a long text opens where it won", () => {
  const long = Array(5000).fill("x");
  assert.deepEqual(excerpt(Array(100).fill("x"), {}, 600), [0, 100]);
  assert.deepEqual(excerpt(long, {}, 600), [0, 600]);
  const chunks = [{ start: 0, end: 2000, won: false }, { start: 2000, end: 4000, won: true }];
  assert.deepEqual(excerpt(long, { chunks }, 600), [2000, 2600]);
  const matches = [word([0, 1], [10, 20], 9), word([0, 1], [3000, 3005], 5)];
  assert.deepEqual(excerpt(long, { chunks, matches }, 600), [2800, 3400]);
  assert.deepEqual(excerpt(long, { chunks: [{ start: 4900, end: 5000, won: true }] }, 600), [4400, 5000]);
  const words = Array.from("river ".repeat(500));
  const [from, to] = excerpt(words, { chunks: [{ start: 1001, end: 1500, won: true }] }, 200);
  assert.equal(words.slice(from, to).join(""), "river ".repeat(34).slice(0, to - from));
  assert.equal(from % 6, 0);
});
