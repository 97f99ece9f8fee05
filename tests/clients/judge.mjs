// judge.py for JavaScript: a whole, right answer, and the client's own error for a wrong key.

export const QUERY = 'What is the capital of France?';
export const DOCUMENTS = [
  'Bananas are a good source of potassium.',
  '量子计算是计算科学的一个前沿领域。',
  'Paris is the capital of France and its largest city.',
  '-',
];
export const TOP_N = 3;
const BEST = 2;

/** An error that carries this HTTP status, itself or in its cause. */
export const status = (code) => (error) => {
  for (let found = error; found; found = found.cause)
    if ([found.status, found.statusCode, found.code].includes(code)) return true;
  return false;
};

/** An error of this name, as the client's own classes have it. */
export const named = (name) => (error) => error?.name === name || error?.constructor?.name === name;

/** Why [{index, score, text?}] is not right; empty when it is. */
function wrongWith(results, { text }) {
  const scores = results.map((r) => r.score);
  const checks = [
    [results.length === TOP_N, `${results.length} results`],
    [new Set(results.map((r) => r.index)).size === results.length, 'an index twice'],
    [scores.every(Number.isFinite), `scores: ${scores}`],
    [scores.every((s, i) => i === 0 || scores[i - 1] >= s), `not sorted: ${scores}`],
    [results[0]?.index === BEST, `best is not ${BEST}`],
    [scores[0] > scores[1], `best is a tie: ${scores}`],
    [!text || results.every((r) => r.text === DOCUMENTS[r.index]), 'text is missing or differs'],
  ];
  return checks.filter(([holds]) => !holds).map(([, why]) => why).join('; ');
}

const say = (error) => `${error?.name}: ${String(error?.message ?? error).slice(0, 300)}`;

const camel = (name) => name.replace(/_(\w)/g, (_, letter) => letter.toUpperCase());

/** The numbers and strings in an object of any kind. */
function values(found, depth = 8) {
  if (['string', 'number'].includes(typeof found)) return [found];
  if (depth === 0 || found === null || typeof found !== 'object') return [];
  return Object.values(found).flatMap((part) => values(part, depth - 1));
}

/** How each call of the scripted server ended, empty = right; the values that the caller of each sees. */
async function scripted(call, { key, model, scripts, scripted: base, options }) {
  const ends = {};
  const saw = {};
  const one = async (script) => {
    const more = { ...options[script] }; // as either kind of client writes it
    for (const [name, value] of Object.entries(more)) more[camel(name)] = value;
    try {
      const { results, raw } = await call(base, `${key}.${script}`, model, more);
      ends[script] = wrongWith(results, {});
      saw[script] = [...new Set(values(raw))];
    } catch (error) {
      ends[script] = say(error);
    }
  };
  const [first, ...others] = scripts.split(' ');
  await one(first);
  await Promise.all(others.map(one));
  return { ends, saw };
}

/** The right key, then the wrong one; prints the outcome and ends the process. */
export async function run(call, { refused, text = false }) {
  const given = JSON.parse(process.env.RERANKD_CLIENT);
  const { base, key, wrong_key: wrongKey, model } = given;
  const outcome = { right: '', wrong: '' };
  try {
    outcome.right = wrongWith((await call(base, key, model, {})).results, { text });
  } catch (error) {
    outcome.right = say(error);
  }
  try {
    await call(base, wrongKey, model, {});
    outcome.wrong = 'no error';
  } catch (error) {
    outcome.wrong = refused(error) ? '' : say(error);
  }
  if (given.scripts) Object.assign(outcome, await scripted(call, given));
  console.log(JSON.stringify(outcome));
  process.exit(0);
}
