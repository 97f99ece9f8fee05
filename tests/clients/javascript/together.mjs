import Together from 'together-ai';
import { DOCUMENTS, QUERY, TOP_N, run, status } from './judge.mjs';

await run(async (base, apiKey, model, more) => {
  const client = new Together({ apiKey, baseURL: `${base}/v1` });
  const found = await client.rerank.create({ model, query: QUERY, documents: DOCUMENTS, top_n: TOP_N, return_documents: true, ...more });
  return { results: found.results.map((r) => ({ index: r.index, score: r.relevance_score, text: r.document.text })), raw: found };
}, { refused: status(401), text: true });
