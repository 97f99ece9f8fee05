import assert from "node:assert/strict";
import test from "node:test";
import { load } from "./modules.mjs";

const { axis, kendall, ndcg, overlap, share } = await load("measures");

test("nDCG is trec_eval's", () => {
  const grades = new Map([[0, 1], [1, 0], [2, 1]]);
  assert.equal(ndcg([0, 2, 1], grades), 1);
  // relevant at ranks 1 and 3: (1 + 1/2) / (1 + 1/log2(3))
  assert.ok(Math.abs(ndcg([0, 1, 2], grades) - 1.5 / (1 + 1 / Math.log2(3))) < 1e-12);
  assert.equal(ndcg([1, 0, 2], grades, 1), 0);
  assert.equal(ndcg([0, 1], new Map([[0, 0]])), null);
});

test("Kendall's tau counts pairs of documents that both have", () => {
  assert.equal(kendall([0, 1, 2], [0, 1, 2]), 1);
  assert.equal(kendall([0, 1, 2], [2, 1, 0]), -1);
  assert.ok(Math.abs(kendall([0, 1, 2], [0, 2, 1]) - 1 / 3) < 1e-12);
  assert.equal(kendall([0, 1, 9], [1, 0]), -1);
  assert.equal(kendall([0], [0]), null);
});

test("overlap is the share of the first k", () => {
  assert.equal(overlap([0, 1, 2, 3], [1, 0, 3, 2], 2), 1);
  assert.equal(overlap([0, 1, 2, 3], [2, 3, 0, 1], 2), 0);
  assert.equal(overlap([0, 1], [1, 0], 10), 1);
  assert.equal(overlap([], []), null);
});

test("each list of scores has an axis of its own", () => {
  assert.deepEqual(axis([0.2, 0.9]), [0, 1]);
  assert.deepEqual(axis([-3.5, 2]), [-3.5, 2]);
  assert.deepEqual(axis([]), [0, 1]);
  assert.equal(share(0.25, [0, 1]), 0.25);
  assert.equal(share(-9, [-3, 2]), 0);
  assert.equal(share(4, [4, 4]), 1);
});
