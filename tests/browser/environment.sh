# Sourced in the root with $cache: Debian's Chromium, an environment with Playwright, axe-core; exact versions.
here=$PWD/tests/browser
command -v uv >/dev/null || pip install -q uv
if [ ! -x /usr/bin/chromium ] || ! command -v curl >/dev/null; then
  as_root=$([ "$(id -u)" = 0 ] || echo sudo)
  $as_root apt-get update -qq
  $as_root apt-get install -y -qq --no-install-recommends chromium curl fonts-dejavu-core fonts-noto-cjk >/dev/null
fi
if ! cmp -s "$here/pins.txt" "$cache/pins.txt"; then
  uv venv -q --clear --python 3.11 "$cache/venv"
  # Not from inside the project, whose own constraints are not theirs.
  (cd / && uv pip install -q --no-deps --python "$cache/venv/bin/python" -r "$here/pins.txt")
  cp "$here/pins.txt" "$cache/pins.txt"
fi
if ! cmp -s "$here/package.json" "$cache/pins.json"; then
  cp "$here/package.json" "$cache/package.json"
  day=$(node -p 'require(process.argv[1]).config.before' "$here/package.json")
  (cd "$cache" && npm install --silent --before "$day" --no-package-lock --no-audit --no-fund --ignore-scripts)
  cp "$here/package.json" "$cache/pins.json"
fi
export AXE=$cache/node_modules/axe-core/axe.min.js RERANKD_PYTHON=${PYTHON:-$PWD/.venv/bin/python}
