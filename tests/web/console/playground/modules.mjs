// Where the playground's modules lie.
export const load = (name) => import(new URL(`../../../../src/rerankd/web/static/playground/${name}.js`, import.meta.url));
