// What was marked, as a collection that `rerankd eval` reads: four files in one zip.

const FOLDER = "playground";
const line = (value) => `${JSON.stringify(value)}\n`;

// File name -> content. `grades`: index of a document -> its grade.
export function collection(query, texts, grades) {
  const ids = texts.map((_, i) => `d${i + 1}`);
  const marked = [...grades].filter(([, grade]) => grade > 0).sort(([a], [b]) => a - b);
  return {
    "queries.jsonl": line({ id: "q1", text: query }),
    "docs.jsonl": texts.map((text, i) => line({ id: ids[i], text })).join(""),
    "qrels.tsv": marked.map(([index, grade]) => `q1\t${ids[index]}\t${grade}\n`).join(""),
    "candidates.jsonl": line({ qid: "q1", docs: ids }),
  };
}

// The files as one zip with a folder, its bytes. The library is loaded at the first use.
export async function zipped(files) {
  const { strToU8, zipSync } = await import("./vendor/fflate.js");
  const entries = Object.entries(files).map(([name, content]) => [name, strToU8(content)]);
  return zipSync({ [FOLDER]: Object.fromEntries(entries) });
}

export function download(name, bytes) {
  const url = URL.createObjectURL(new Blob([bytes], { type: "application/zip" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
