import { createCohere } from '@ai-sdk/cohere';
import { rerank } from 'ai';
import { DOCUMENTS, QUERY, TOP_N, run, status } from './judge.mjs';

await run(async (base, apiKey, model, more) => {
  const cohere = createCohere({ apiKey, baseURL: `${base}/v2` });
  const found = await rerank({ model: cohere.reranking(model), query: QUERY, documents: DOCUMENTS, topN: TOP_N, ...more });
  return { results: found.ranking.map((r) => ({ index: r.originalIndex, score: r.score, text: r.document })), raw: found };
}, { refused: status(401), text: true });
