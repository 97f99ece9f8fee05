// The query as a program, or as another provider's request.

const shell = (value) => `'${value.replaceAll("'", `'\\''`)}'`;
const pretty = (value) => JSON.stringify(value, null, 2);
const python = (value) =>
  pretty(value).replace(/\b(true|false|null)\b(?=[,\n\]}])/g, (word) =>
    ({ true: "True", false: "False", null: "None" })[word]);

function body(ask) {
  return { model: ask.model, query: ask.query, documents: ask.documents, ...ask.options };
}

const texts = (ask) => ask.documents.map((each) => (typeof each === "string" ? each : each.image));

function request(path, content) {
  return (ask) => `POST ${ask.origin}${path}\n\n${pretty(content(ask))}`;
}

export const SNIPPETS = {
  curl: (ask) =>
    `curl ${ask.origin}/v1/rerank \\\n${ask.hasKey ? '  -H "Authorization: Bearer $RERANKD_KEY" \\\n' : ""}` +
    `  --json ${shell(pretty(body(ask)))}`,
  Python: (ask) =>
    `import json\nimport urllib.request\n\nbody = ${python(body(ask))}\n` +
    `request = urllib.request.Request(\n    "${ask.origin}/v1/rerank",\n    json.dumps(body).encode(),\n` +
    `    {"Content-Type": "application/json"${ask.hasKey ? ', "Authorization": "Bearer YOUR_KEY"' : ""}},\n)\n` +
    `with urllib.request.urlopen(request) as answer:\n    for hit in json.load(answer)["results"]:\n` +
    `        print(hit["index"], hit["relevance_score"])`,
  JavaScript: (ask) =>
    `const answer = await fetch("${ask.origin}/v1/rerank", {\n  method: "POST",\n` +
    `  headers: { "Content-Type": "application/json"${ask.hasKey ? ', Authorization: `Bearer ${process.env.RERANKD_KEY}`' : ""} },\n` +
    `  body: JSON.stringify(${pretty(body(ask)).replaceAll("\n", "\n  ")}),\n});\nconst { results } = await answer.json();`,
  LangChain: (ask) =>
    `# pip install langchain-cohere\nfrom langchain_cohere import CohereRerank\n\nreranker = CohereRerank(\n` +
    `    base_url="${ask.origin}/cohere",\n    cohere_api_key="${ask.hasKey ? "YOUR_KEY" : "none"}",\n    model=${JSON.stringify(ask.model)},\n    top_n=${ask.documents.length},\n)\n` +
    `print(reranker.rerank(${python(texts(ask))}, ${JSON.stringify(ask.query)}))`,
  "Dify fields": (ask) =>
    `Model provider:  OpenAI-API-compatible\nModel type:      Rerank\nModel name:      ${ask.model}\n` +
    `API key:         ${ask.hasKey ? "YOUR_KEY" : "none"}\nAPI endpoint:    ${ask.origin}/v1`,
  "Cohere v2 request": request("/cohere/v2/rerank", (ask) => ({
    model: ask.model, query: ask.query, documents: texts(ask),
  })),
  "Jina request": request("/jina/v1/rerank", (ask) => ({
    model: ask.model, query: ask.query, documents: ask.documents,
  })),
  "Voyage request": request("/voyage/v1/rerank", (ask) => ({
    model: ask.model, query: ask.query, documents: texts(ask), top_k: ask.documents.length,
  })),
  "TEI request": request("/tei/rerank", (ask) => ({ query: ask.query, texts: texts(ask) })),
  "DashScope request": request(
    "/dashscope/api/v1/services/rerank/text-rerank/text-rerank",
    (ask) => ({ model: ask.model, input: { query: ask.query, documents: texts(ask) } }),
  ),
};
