// What was marked, as a collection that `rerankd eval` reads: four files.

const line = (value) => `${JSON.stringify(value)}\n`;

export function collection(query, documents, grades) {
  const ids = documents.map((_, i) => `d${i + 1}`);
  return {
    "queries.jsonl": line({ id: "q1", text: query }),
    "docs.jsonl": documents.map((each, i) => line({ id: ids[i], text: each.value })).join(""),
    "qrels.tsv": [...grades].filter(([, grade]) => grade > 0).map(([index, grade]) => `q1\t${ids[index]}\t${grade}\n`).join(""),
    "candidates.jsonl": line({ qid: "q1", docs: ids }),
  };
}

export function download(name, content) {
  const url = URL.createObjectURL(new Blob([content], { type: "application/octet-stream" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  URL.revokeObjectURL(url);
}
