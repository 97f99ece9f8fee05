# Sourced in the root with $cache and $here: an environment with Ray and this checkout, exact versions.
command -v uv > /dev/null || pip install -q uv
if ! cmp -s "$here/pins.txt" "$cache/pins.txt"; then
  uv venv -q --clear --python 3.11 "$cache/venv"
  # Not from inside the project, whose own constraints are not theirs.
  (cd / && uv pip install -q --no-deps --python "$cache/venv/bin/python" -r "$here/pins.txt")
  uv pip install -q --no-deps --python "$cache/venv/bin/python" --editable .
  cp "$here/pins.txt" "$cache/pins.txt"
fi
