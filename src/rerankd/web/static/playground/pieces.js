// A text cut at every boundary of its chunks and matches. Offsets count code points, as Python does.

export const QUIET = 0.04; // how loud: a match below is listed, not marked

// Match -> how loud it is shown, 0 to 1: its score beside the best of its kind in the whole answer,
// squared, so that words that are everywhere do not drown the others.
export function weights(hits) {
  const best = new Map();
  for (const hit of hits)
    for (const { kind, score } of hit.matches ?? []) best.set(kind, Math.max(best.get(kind) ?? 0, score));
  return (match) => {
    const most = best.get(match.kind) ?? 0;
    return most > 0 ? Math.max(0, match.score / most) ** 2 : 0;
  };
}

// [{text, chunk, index, matches, unread}] of the characters [from, to) of a text. `chunk` is the one
// shown: the winner where several share the characters; `index` its number; `matches` are those that
// cover the piece, loudest first.
export function pieces(points, { chunks = [], matches = [], cutAt = null, weigh = () => 1, from = 0, to = points.length }) {
  const cuts = new Set([from, to]);
  const cut = (at) => { if (at > from && at < to) cuts.add(at); };
  const placed = chunks.map((chunk, index) => ({ chunk, index })).filter(({ chunk }) => chunk.start != null);
  for (const { chunk } of placed) { cut(chunk.start); cut(chunk.end); }
  for (const { document } of matches) { cut(document[0]); cut(document[1]); }
  if (cutAt != null) cut(cutAt);
  const places = [...cuts].sort((a, b) => a - b);
  const covers = ([start, end], at) => start <= at && at < end;
  return places.slice(1).map((end, i) => {
    const start = places[i];
    const inside = placed.filter(({ chunk }) => covers([chunk.start, chunk.end], start));
    const shown = inside.find(({ chunk }) => chunk.won) ?? inside[0];
    return {
      text: points.slice(start, end).join(""),
      chunk: shown?.chunk ?? null,
      index: shown?.index ?? null,
      matches: matches.filter((match) => covers(match.document, start)).sort((a, b) => weigh(b) - weigh(a)),
      unread: cutAt != null && start >= cutAt,
    };
  });
}

// The query as pieces, each with the places [start, end] of matches that name it.
export function queryPieces(points, hits) {
  const places = new Map();
  for (const hit of hits)
    for (const match of hit.matches ?? []) places.set(match.query.join(), match.query);
  const cuts = new Set([0, points.length]);
  for (const place of places.values()) for (const at of place) if (at <= points.length) cuts.add(at);
  const sorted = [...cuts].sort((a, b) => a - b);
  return sorted.slice(1).map((end, i) => ({
    text: points.slice(sorted[i], end).join(""),
    start: sorted[i],
    end,
    named: [...places.values()].some(([first, last]) => first <= sorted[i] && end <= last),
  }));
}

export const touches = ([a, b], [c, d]) => a < d && c < b;

// The next character behind a space, where one is near: else `at` itself.
function wordFrom(points, at) {
  if (at >= points.length) return points.length;
  for (let i = at; i < Math.min(at + 20, points.length); i++) if (points[i - 1] === " " || points[i - 1] === "\n") return i;
  return at;
}

// Which part of a long text is shown first, [from, to): `most` characters around what made it win.
export function excerpt(points, hit, most) {
  const { length } = points;
  if (length <= most) return [0, length];
  const won = (hit.chunks ?? []).find((chunk) => chunk.won && chunk.start != null);
  const inside = (hit.matches ?? []).filter(({ document }) => !won || (document[0] >= won.start && document[1] <= won.end));
  const loudest = inside.reduce((best, match) => (!best || match.score > best.score ? match : best), null);
  const target = loudest ? loudest.document[0] - Math.floor(most / 3) : (won?.start ?? 0);
  const from = Math.max(0, Math.min(target, length - most));
  return [from && wordFrom(points, from), wordFrom(points, from + most)];
}
