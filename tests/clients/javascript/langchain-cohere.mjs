import { CohereRerank } from '@langchain/cohere';
import { CohereClient } from 'cohere-ai';
import { DOCUMENTS, QUERY, TOP_N, run, status } from './judge.mjs';

await run(async (base, token, model, more) => {
  const client = new CohereClient({ token, environment: base });
  const found = await new CohereRerank({ client, model, topN: TOP_N, ...more }).rerank(DOCUMENTS, QUERY);
  return { results: found.map((r) => ({ index: r.index, score: r.relevanceScore })), raw: found };
}, { refused: status(401) });
