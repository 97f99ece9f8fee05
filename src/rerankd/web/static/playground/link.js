// The page's content in the fragment of its address: base64url of JSON.

export function encode(shared) {
  const bytes = new TextEncoder().encode(JSON.stringify(shared));
  let binary = "";
  for (let i = 0; i < bytes.length; i += 8192) binary += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return `#q=${btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`;
}

const isText = (value) => typeof value === "string";

// What a fragment holds; null when it is not one of ours.
export function decode(fragment) {
  const found = /^#q=([A-Za-z0-9_-]+)$/.exec(fragment);
  if (!found) return null;
  try {
    const binary = atob(found[1].replaceAll("-", "+").replaceAll("_", "/"));
    const shared = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(binary, (c) => c.charCodeAt(0))));
    if (!isText(shared?.query) || !Array.isArray(shared.documents) || !shared.documents.every(isText)) return null;
    const models = Array.isArray(shared.models) ? shared.models.filter(isText) : [];
    const options = shared.options && typeof shared.options === "object" ? shared.options : {};
    return { query: shared.query, documents: shared.documents, models, options };
  } catch {
    return null;
  }
}
