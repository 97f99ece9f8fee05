// Makes what the page makes: `made.mjs zip FILE` a collection from a JSON ask on standard input,
// `made.mjs snippets` every snippet of it, as JSON.
import { readFileSync, writeFileSync } from "node:fs";
import { load } from "./modules.mjs";

const ask = JSON.parse(readFileSync(0, "utf8"));
if (process.argv[2] === "zip") {
  const { collection, zipped } = await load("export");
  writeFileSync(process.argv[3], await zipped(collection(ask.query, ask.documents, new Map(ask.grades))));
} else {
  const { snippet, SNIPPETS } = await load("snippets");
  const names = Object.values(SNIPPETS).flatMap((group) => Object.keys(group));
  process.stdout.write(JSON.stringify(Object.fromEntries(names.map((name) => [name, snippet(name, ask)]))));
}
