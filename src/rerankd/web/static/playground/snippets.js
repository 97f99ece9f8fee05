// The query as a program, as fields of a form, or as another provider's request.
//
// An ask is {model, query, documents, options, origin, hasKey}; documents are texts or {image}.

const shell = (value) => `'${value.replaceAll("'", `'\\''`)}'`;
const pretty = (value) => JSON.stringify(value, null, 2);
const body = (ask) => ({ model: ask.model, query: ask.query, documents: ask.documents, ...ask.options });

// JSON as a Python literal: the three words differ, outside of texts.
export const python = (value) =>
  pretty(value).replace(/"(?:[^"\\]|\\.)*"|\b(?:true|false|null)\b/g, (word) =>
    ({ true: "True", false: "False", null: "None" })[word] ?? word);

const post = (ask, path, content, header = "Authorization: Bearer $RERANKD_KEY") =>
  `curl ${ask.origin}${path} \\\n  -H 'Content-Type: application/json' \\\n` +
  `${ask.hasKey ? `  -H "${header}" \\\n` : ""}  -d ${shell(pretty(content))}`;

// Which of the options a dialect has a place for, under its own names.
const put = (ask, names) =>
  Object.fromEntries(Object.entries(names).filter(([, own]) => own in ask.options).map(([name, own]) => [name, ask.options[own]]));
const same = (...names) => Object.fromEntries(names.map((name) => [name, name]));
const NONE = {};

const flat = (more) => (ask, options) => ({ model: ask.model, query: ask.query, documents: ask.documents, ...more, ...options });
const objects = (ask) => ask.documents.map((each) => (typeof each === "string" ? { text: each } : each));
const named = (options, name) => (Object.keys(options).length ? { [name]: options } : {});

// name: [path, options with a place, body, whether it takes images]
const DIALECTS = {
  "Cohere v2": ["/cohere/v2/rerank", same("max_tokens_per_doc"), flat(), false],
  "Cohere v1": ["/cohere/v1/rerank", same("max_chunks_per_doc"), flat(), false],
  DashScope: ["/dashscope/api/v1/services/rerank/text-rerank/text-rerank", { instruct: "instruction" },
    (ask, options) => ({ model: ask.model, input: { query: ask.query, documents: ask.documents }, ...named(options, "parameters") }), false],
  DeepInfra: [(ask) => `/deepinfra/v1/inference/${encodeURIComponent(ask.model)}`, same("instruction"),
    (ask, options) => ({ queries: [ask.query], documents: ask.documents, ...options }), false],
  Fireworks: ["/fireworks/inference/v1/rerank", NONE, flat(), false],
  Infinity: ["/infinity/rerank", NONE, flat(), false],
  Jina: ["/jina/v1/rerank", NONE, flat(), true],
  LiteLLM: ["/litellm/v1/rerank", same("instruction", "max_chunks_per_doc", "max_tokens_per_doc"), flat(), false],
  "llama.cpp": ["/llamacpp/v1/rerank", NONE, flat(), false],
  Mixedbread: ["/mixedbread/v1/reranking", NONE, (ask) => ({ model: ask.model, query: ask.query, input: ask.documents }), false],
  "new-api": ["/gateway/v1/rerank", same("instruction", "max_chunks_per_doc", "overlap_tokens", "max_tokens_per_doc"), flat(), true],
  NVIDIA: ["/nvidia/v1/ranking", NONE,
    (ask) => ({ model: ask.model, query: { text: ask.query }, passages: objects(ask), truncate: "END" }), true],
  Pinecone: ["/pinecone/rerank", same("max_chunks_per_doc"),
    (ask, options) => ({ model: ask.model, query: ask.query, documents: objects(ask), ...named(options, "parameters") }), false],
  SiliconFlow: ["/siliconflow/v1/rerank", same("instruction", "max_chunks_per_doc", "overlap_tokens"), flat(), false],
  TEI: ["/tei/rerank", NONE, (ask) => ({ query: ask.query, texts: ask.documents }), false],
  Together: ["/together/v1/rerank", NONE, flat(), false],
  vLLM: ["/vllm/v1/rerank", same("instruction", "max_tokens_per_doc"), flat(), false],
  Voyage: ["/voyage/v1/rerank", NONE, flat({ truncation: true }), false],
  Xinference: ["/xinference/v1/rerank", same("instruction", "max_chunks_per_doc"), flat(), false],
  ZeroEntropy: ["/zeroentropy/v1/models/rerank", NONE, flat(), false],
};
const KEY_HEADERS = { Pinecone: "Api-Key: $RERANKD_KEY" };

const hasImages = (ask) => ask.documents.some((each) => typeof each !== "string");
const noImages = (name) => `# ${name} has no place for the images among these documents.`;

function dialect(name) {
  const [path, places, make, takesImages] = DIALECTS[name];
  return (ask) => {
    if (hasImages(ask) && !takesImages) return noImages(name);
    const options = put(ask, places);
    const lost = Object.keys(ask.options).filter((own) => !Object.values(places).includes(own));
    const told = lost.length ? `# ${name} has no place for ${lost.join(", ")}.\n` : "";
    const model = name === "TEI" ? "# The server's first model answers: TEI's requests name none.\n" : "";
    return told + model + post(ask, typeof path === "string" ? path : path(ask), make(ask, options), KEY_HEADERS[name]);
  };
}

const PROGRAMS = {
  curl: (ask) => post(ask, "/v1/rerank", body(ask)),
  Python: (ask) =>
    `import json\n${ask.hasKey ? "import os\n" : ""}import urllib.request\n\nbody = ${python(body(ask))}\n` +
    `request = urllib.request.Request(\n    "${ask.origin}/v1/rerank",\n    json.dumps(body).encode(),\n` +
    `    {"Content-Type": "application/json"${ask.hasKey ? `, "Authorization": f"Bearer {os.environ['RERANKD_KEY']}"` : ""}},\n)\n` +
    `with urllib.request.urlopen(request) as answer:\n    for hit in json.load(answer)["results"]:\n` +
    `        print(hit["index"], hit["relevance_score"])`,
  JavaScript: (ask) =>
    `const answer = await fetch("${ask.origin}/v1/rerank", {\n  method: "POST",\n` +
    `  headers: { "Content-Type": "application/json"${ask.hasKey ? ", Authorization: `Bearer ${process.env.RERANKD_KEY}`" : ""} },\n` +
    `  body: JSON.stringify(${pretty(body(ask)).replaceAll("\n", "\n  ")}),\n});\n` +
    "if (!answer.ok) throw new Error(await answer.text());\n" +
    "for (const hit of (await answer.json()).results) console.log(hit.index, hit.relevance_score);",
  LangChain: (ask) => {
    if (hasImages(ask)) return noImages("LangChain's class");
    return `# pip install langchain-cohere\n${ask.hasKey ? "import os\n\n" : ""}from langchain_cohere import CohereRerank\n\n` +
      `documents = ${python(ask.documents)}\nreranker = CohereRerank(\n    base_url="${ask.origin}/cohere",\n` +
      `    cohere_api_key=${ask.hasKey ? `os.environ["RERANKD_KEY"]` : `"none"`},\n    model=${JSON.stringify(ask.model)},\n    top_n=${ask.documents.length},\n)\n` +
      `for hit in reranker.rerank(documents, ${JSON.stringify(ask.query)}):\n    print(hit["index"], hit["relevance_score"])`;
  },
  "Dify fields": (ask) =>
    "Settings, Model Provider, OpenAI-API-compatible, Add Model\n\n" +
    `Model Type    Rerank\nModel Name    ${ask.model}\nAPI Key       ${ask.hasKey ? "yours" : "none"}\nAPI Base URL  ${ask.origin}/v1`,
};

export const SNIPPETS = {
  Programs: PROGRAMS,
  "Requests of other providers": Object.fromEntries(Object.keys(DIALECTS).map((name) => [name, dialect(name)])),
};

// A snippet by its name.
export const snippet = (name, ask) => (PROGRAMS[name] ?? dialect(name))(ask);

// The same to look at: what is too long to read is shortened, and says so.
export const shortened = (value) =>
  value.replace(/(data:image\/[a-z]+;base64,[A-Za-z0-9+/]{24})[A-Za-z0-9+/=]+/g, "$1…");
