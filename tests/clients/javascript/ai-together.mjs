import { createTogetherAI } from '@ai-sdk/togetherai';
import { rerank } from 'ai';
import { DOCUMENTS, QUERY, TOP_N, run, status } from './judge.mjs';

await run(async (base, apiKey, model, more) => {
  const together = createTogetherAI({ apiKey, baseURL: `${base}/v1` });
  const found = await rerank({ model: together.reranking(model), query: QUERY, documents: DOCUMENTS, topN: TOP_N, ...more });
  return { results: found.ranking.map((r) => ({ index: r.originalIndex, score: r.score, text: r.document })), raw: found };
}, { refused: status(401), text: true });
