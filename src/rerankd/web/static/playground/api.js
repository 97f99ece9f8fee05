// What the playground asks of the server: /v1/* only, with a key that stays in this tab.

const KEY = "rerankd.key";

export const key = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY)),
};

export class Refused extends Error {
  constructor(status, message, field, reason) {
    super(message);
    this.status = status;
    this.field = field;
    this.reason = reason;
  }
}

const FIELDS = ["query", "documents", "model", "instruction", "max_chunks_per_doc", "overlap_tokens", "max_tokens_per_doc"];

async function call(path, body) {
  const headers = {};
  if (body !== undefined) headers["content-type"] = "application/json";
  if (key.get()) headers.authorization = `Bearer ${key.get()}`;
  let answer;
  try {
    answer = await fetch(path, {
      method: body === undefined ? "GET" : "POST",
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Refused(0, "The server cannot be reached.", "", "");
  }
  const told = await answer.text();
  if (answer.ok) return JSON.parse(told);
  let message = told;
  try {
    const found = JSON.parse(told);
    message = typeof found === "string" ? found : (found.message ?? found.error?.message ?? told);
  } catch {
    // the text is the sentence
  }
  const reason = answer.headers.get("x-rerankd-reason") ?? "";
  const field = FIELDS.find((name) => new RegExp(`^${name}\\b`).test(message)) ?? "";
  throw new Refused(answer.status, message || `Status ${answer.status}.`, field, reason);
}

export const models = async () =>
  (await call("/v1/models")).data.filter((each) => !each.tasks.length || each.tasks.includes("rerank"));

const asPlain = (error) =>
  error instanceof Refused &&
  ((error.status === 403 && error.reason === "role") || error.status === 404 || error.status === 405);

// One model's answer, explained where the key may ask for that; `ms` is the time until it was here.
export async function rerank(body, { explain = true } = {}) {
  const started = performance.now();
  const path = explain ? "/v1/rerank/explain" : "/v1/rerank";
  try {
    const answer = await call(path, { ...body, return_documents: false });
    return { answer, ms: performance.now() - started, explained: explain };
  } catch (error) {
    if (explain && asPlain(error)) return rerank(body, { explain: false });
    throw error;
  }
}
