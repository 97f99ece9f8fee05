import Mixedbread from '@mixedbread/sdk';
import { DOCUMENTS, QUERY, TOP_N, run, status } from './judge.mjs';

await run(async (base, apiKey, model, more) => {
  const client = new Mixedbread({ apiKey, baseURL: base });
  const found = await client.rerank({ model, query: QUERY, input: DOCUMENTS, top_k: TOP_N, return_input: true, ...more });
  return { results: found.data.map((r) => ({ index: r.index, score: r.score, text: r.input })), raw: found };
}, { refused: status(401), text: true });
