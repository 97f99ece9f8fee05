import ZeroEntropy from 'zeroentropy';
import { DOCUMENTS, QUERY, TOP_N, run, status } from './judge.mjs';

await run(async (base, apiKey, model, more) => {
  const client = new ZeroEntropy({ apiKey, baseURL: `${base}/v1` });
  const found = await client.models.rerank({ model, query: QUERY, documents: DOCUMENTS, top_n: TOP_N, ...more });
  return { results: found.results.map((r) => ({ index: r.index, score: r.relevance_score })), raw: found };
}, { refused: status(401) });
