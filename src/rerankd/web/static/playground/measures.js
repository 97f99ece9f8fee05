// How well, and how alike, lists are ordered. Lists hold indexes of documents, best first.

// nDCG@k with gain = grade and discount log2(rank + 1), as trec_eval has it; null without a relevant
// document.
export function ndcg(order, grades, k = 10) {
  const gain = (list) => list.slice(0, k).reduce((sum, grade, i) => sum + grade / Math.log2(i + 2), 0);
  const ideal = gain([...grades.values()].sort((a, b) => b - a));
  return ideal ? gain(order.map((index) => grades.get(index) ?? 0)) / ideal : null;
}

// Kendall's tau of two orders of the same documents; null for fewer than two.
export function kendall(a, b) {
  const place = new Map(b.map((index, i) => [index, i]));
  const found = a.filter((index) => place.has(index)).map((index) => place.get(index));
  const n = found.length;
  if (n < 2) return null;
  let sum = 0;
  for (let i = 0; i < n; i++) for (let j = i + 1; j < n; j++) sum += found[i] < found[j] ? 1 : -1;
  return sum / ((n * (n - 1)) / 2);
}

// Share of the first k that two orders have in common.
export function overlap(a, b, k = 10) {
  const most = Math.min(k, a.length, b.length);
  if (!most) return null;
  const first = new Set(b.slice(0, most));
  return a.slice(0, most).filter((index) => first.has(index)).length / most;
}

// Where bars of a list of scores begin and end: 0 and 1 where all lie between, else the lowest and
// the highest. Never that of two models: their scores mean different things.
export function axis(scores) {
  if (!scores.length) return [0, 1];
  const low = Math.min(...scores), high = Math.max(...scores);
  return low >= 0 && high <= 1 ? [0, 1] : [low, high];
}

// How far along the axis a score is, 0 to 1.
export const share = (score, [low, high]) =>
  high > low ? Math.max(0, Math.min(1, (score - low) / (high - low))) : 1;
