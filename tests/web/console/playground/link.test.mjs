import assert from "node:assert/strict";
import test from "node:test";
import { load } from "./modules.mjs";

const { decode, encode } = await load("link");

test("what is shared comes back, however long and in any script", () => {
  const shared = { query: "was? 首都 🦊", documents: ["ü".repeat(200_000), ""], models: ["a/b"], options: { overlap_tokens: 0 } };
  const fragment = encode(shared);
  assert.match(fragment, /^#q=[A-Za-z0-9_-]+$/);
  assert.deepEqual(decode(fragment), shared);
});

test("what is not ours is nothing", () => {
  const of = (value) => `#q=${Buffer.from(JSON.stringify(value)).toString("base64url")}`;
  for (const bad of ["", "#", "#q=", "#q=%%%", "#q=AAAA", "#results", of(null), of({ query: 1, documents: [] }), of({ query: "q", documents: [{}] }), of({ query: "q" })])
    assert.equal(decode(bad), null, bad);
  assert.deepEqual(decode(of({ query: "q", documents: [], models: "x", options: 3 })), { query: "q", documents: [], models: [], options: {} });
});
