import { createTogetherAI } from '@ai-sdk/togetherai';
import { rerank } from 'ai';
import { DOCUMENTS, QUERY, TOP_N, run, status } from './judge.mjs';

await run(async (base, apiKey, model) => {
  const together = createTogetherAI({ apiKey, baseURL: `${base}/v1` });
  const found = await rerank({ model: together.reranking(model), query: QUERY, documents: DOCUMENTS, topN: TOP_N, maxRetries: 0 });
  return found.ranking.map((r) => ({ index: r.originalIndex, score: r.score, text: r.document }));
}, { refused: status(401), text: true });
