import { CohereClientV2 } from 'cohere-ai';
import { DOCUMENTS, QUERY, TOP_N, run, status } from './judge.mjs';

await run(async (base, token, model) => {
  const client = new CohereClientV2({ token, environment: base, maxRetries: 0 });
  const found = await client.rerank({ model, query: QUERY, documents: DOCUMENTS, topN: TOP_N });
  return found.results.map((r) => ({ index: r.index, score: r.relevanceScore }));
}, { refused: status(401) });
