import { Pinecone } from '@pinecone-database/pinecone';
import { DOCUMENTS, QUERY, TOP_N, named, run } from './judge.mjs';

await run(async (base, apiKey, model, more) => {
  const client = new Pinecone({ apiKey, controllerHostUrl: base });
  const found = await client.inference.rerank({ model, query: QUERY, documents: DOCUMENTS, topN: TOP_N, ...more });
  return { results: found.data.map((r) => ({ index: r.index, score: r.score, text: r.document.text })), raw: found };
}, { refused: named('PineconeAuthorizationError'), text: true });
