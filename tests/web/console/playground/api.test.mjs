import assert from "node:assert/strict";
import test from "node:test";
import { load } from "./modules.mjs";

globalThis.sessionStorage = { getItem: () => null };
const { refusal, rerank } = await load("api");

test("the server's sentence is told at the field that it names", () => {
  const of = (param, message) => refusal(400, JSON.stringify({ code: 20015, message, error: { message, param } }));
  const found = of("documents[3]", "documents[3]: is empty.");
  assert.deepEqual([found.message, found.field, found.index], ["documents[3]: is empty.", "documents", 3]);
  assert.deepEqual([of(null, "overlap_tokens: at most 80.").field], ["overlap_tokens"]);
  assert.deepEqual([refusal(401, '"Invalid token"').message, refusal(404, "404 page not found").message, refusal(502, "").message],
    ["Invalid token", "404 page not found", "The server answered 502."]);
});

test("explanations are asked for up to fifty documents, and given up where they may not be", async () => {
  const asked = [];
  let status = 200;
  globalThis.fetch = async (path) => {
    asked.push(path);
    const explained = path.endsWith("/explain");
    return new Response(JSON.stringify({ id: "1", results: [] }), { status: explained ? status : 200, headers: explained && status !== 200 ? { "x-rerankd-reason": "role" } : {} });
  };
  const body = (count) => ({ model: "m", query: "q", documents: Array(count).fill("d") });
  assert.equal((await rerank(body(50))).explained, true);
  assert.equal((await rerank(body(51))).explained, false);
  status = 403;
  assert.equal((await rerank(body(1))).explained, false);
  status = 400;
  await assert.rejects(rerank(body(1)), (error) => error.status === 400);
  const [explain, plain] = ["/v1/rerank/explain", "/v1/rerank"];
  assert.deepEqual(asked, [explain, plain, explain, plain, explain]);
});
