import { createCohere } from '@ai-sdk/cohere';
import { rerank } from 'ai';
import { DOCUMENTS, QUERY, TOP_N, run, status } from './judge.mjs';

await run(async (base, apiKey, model) => {
  const cohere = createCohere({ apiKey, baseURL: `${base}/v2` });
  const found = await rerank({ model: cohere.reranking(model), query: QUERY, documents: DOCUMENTS, topN: TOP_N, maxRetries: 0 });
  return found.ranking.map((r) => ({ index: r.originalIndex, score: r.score, text: r.document }));
}, { refused: status(401), text: true });
