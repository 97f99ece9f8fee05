import { VoyageAIClient } from 'voyageai';
import { DOCUMENTS, QUERY, TOP_N, run, status } from './judge.mjs';

await run(async (base, apiKey, model, more) => {
  const client = new VoyageAIClient({ apiKey, environment: `${base}/v1`, baseUrl: `${base}/v1` });
  const found = await client.rerank({ model, query: QUERY, documents: DOCUMENTS, topK: TOP_N, returnDocuments: true, ...more });
  return { results: found.data.map((r) => ({ index: r.index, score: r.relevanceScore, text: r.document })), raw: found };
}, { refused: status(401), text: true });
