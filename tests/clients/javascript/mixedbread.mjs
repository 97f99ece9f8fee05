import Mixedbread from '@mixedbread/sdk';
import { DOCUMENTS, QUERY, TOP_N, run, status } from './judge.mjs';

await run(async (base, apiKey, model) => {
  const client = new Mixedbread({ apiKey, baseURL: base, maxRetries: 0 });
  const found = await client.rerank({ model, query: QUERY, input: DOCUMENTS, top_k: TOP_N, return_input: true });
  return found.data.map((r) => ({ index: r.index, score: r.score, text: r.input }));
}, { refused: status(401), text: true });
