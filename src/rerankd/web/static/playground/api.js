// What the playground asks of the server: /v1/* only, with a key that stays in this tab.

const KEY = "rerankd.key";
export const MOST_EXPLAINED = 50; // documents; more are ranked without
const PRICE_TRIES_MS = [150, 600, 1500]; // after an answer, until it is in the ledger

export const key = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY)),
};

// What the server said: its sentence, the field that it names and, of documents, which one.
export class Refused extends Error {
  constructor(status, message, { param = "", reason = "" } = {}) {
    super(message);
    this.status = status;
    this.reason = reason;
    const named = /^([a-z_]+)(?:\[(\d+)\])?/.exec(param || message);
    this.field = named?.[1] ?? "";
    this.index = named?.[2] === undefined ? null : Number(named[2]);
  }
}

export function refusal(status, told, reason = "") {
  let found;
  try {
    found = JSON.parse(told);
  } catch {
    found = told;
  }
  const message = typeof found === "string" ? found : (found?.message ?? found?.error?.message ?? told);
  return new Refused(status, message || `The server answered ${status}.`, { param: found?.error?.param ?? "", reason });
}

async function call(path, body) {
  const headers = {};
  if (body !== undefined) headers["content-type"] = "application/json";
  if (key.get()) headers.authorization = `Bearer ${key.get()}`;
  let answer, told;
  try {
    answer = await fetch(path, { method: body === undefined ? "GET" : "POST", headers, body: body === undefined ? undefined : JSON.stringify(body) });
    told = await answer.text();
  } catch {
    throw new Refused(0, "The server cannot be reached.");
  }
  if (!answer.ok) throw refusal(answer.status, told, answer.headers.get("x-rerankd-reason") ?? "");
  try {
    return JSON.parse(told);
  } catch {
    throw new Refused(answer.status, "The answer is not one of rerankd.");
  }
}

export const models = async () =>
  (await call("/v1/models")).data.filter((each) => !each.tasks?.length || each.tasks.includes("rerank"));

const asPlain = (error) =>
  error instanceof Refused && ((error.status === 403 && error.reason === "role") || error.status === 404 || error.status === 405);

// One model's answer, explained where that may be asked; `ms` is the time until it was here.
export async function rerank(body) {
  const attempt = async (explained) => {
    const started = performance.now();
    const answer = await call(explained ? "/v1/rerank/explain" : "/v1/rerank", { ...body, return_documents: false });
    return { answer, explained, ms: performance.now() - started };
  };
  if (body.documents.length > MOST_EXPLAINED) return attempt(false);
  try {
    return await attempt(true);
  } catch (error) {
    if (asPlain(error)) return attempt(false);
    throw error;
  }
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));
let hasLedger = true; // until the server says otherwise

// What a request cost, as a text; "" where there is no ledger, no key of one, or no price.
export async function price(id) {
  for (const wait of PRICE_TRIES_MS) {
    if (!hasLedger || !key.get()) return "";
    await pause(wait);
    try {
      const [row] = (await call(`/v1/usage?request_id=${encodeURIComponent(id)}`)).data;
      if (row) return row.price_id == null ? "" : `${row.charge} ${row.currency}`;
    } catch (error) {
      if (error.status === 404) hasLedger = false;
      return "";
    }
  }
  return "";
}
