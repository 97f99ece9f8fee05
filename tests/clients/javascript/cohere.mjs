import { CohereClientV2 } from 'cohere-ai';
import { DOCUMENTS, QUERY, TOP_N, run, status } from './judge.mjs';

await run(async (base, token, model, more) => {
  const client = new CohereClientV2({ token, environment: base });
  const found = await client.rerank({ model, query: QUERY, documents: DOCUMENTS, topN: TOP_N, ...more });
  return { results: found.results.map((r) => ({ index: r.index, score: r.relevanceScore })), raw: found };
}, { refused: status(401) });
