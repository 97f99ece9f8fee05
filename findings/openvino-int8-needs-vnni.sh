#!/bin/sh
# OpenVINO 2026.4.1, CPU: an int8 product of a quantised graph (FakeQuantize, int8 weights) is wrong where the CPU has
# no int8 dot product (VNNI), and nothing says so.
#
# The good guess: the graph means the same on every CPU; without VNNI it is slower, perhaps computed in fp32, as int8
# weights without FakeQuantize are.
# What is seen: with oneDNN told to use AVX2 only, a sum of 64 products of the largest values comes out more than ten
# times too small: neighbouring products are added in 16 bits, which overflow. Compiling and running raise nothing, and
# typical values come out right, so a model's scores look plausible. With everything the CPU has, or with the int8
# weights alone, the sum is right.
#
# Makes a folder, installs there, runs the same graph in three processes. Exit 0: as above.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install -q openvino==2026.4.1 numpy==2.4.6

cat > product.py <<'PY'
import sys

import numpy as np
import openvino as ov
from openvino import opset15 as ops

WIDTH, ROWS = 64, 16
weights = np.full((ROWS, WIDTH), 127, np.int8)
scales = np.full((ROWS, 1), 1 / 127, np.float32)
matrix = ops.multiply(ops.convert(ops.constant(weights), "f32"), ops.constant(scales))
x = ops.parameter([1, WIDTH], np.float32)
asked = x
if sys.argv[1] == "quantised":
    low, high = ops.constant(np.float32(-1)), ops.constant(np.float32(1))
    asked = ops.fake_quantize(x, low, high, low, high, 255)
model = ov.Model([ops.result(ops.matmul(asked, matrix, False, True))], [x], "product")
hints = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"}
compiled = ov.Core().compile_model(model, "CPU", hints)
request = compiled.create_infer_request()
request.infer([np.ones((1, WIDTH), np.float32)])
print(float(request.get_output_tensor(0).data[0, 0]))
PY

full=$(env/bin/python product.py quantised)
capped=$(ONEDNN_MAX_CPU_ISA=AVX2 env/bin/python product.py quantised)
weights=$(ONEDNN_MAX_CPU_ISA=AVX2 env/bin/python product.py weights)
echo "64 products of 1 and 1: all instructions $full, AVX2 $capped, AVX2 with int8 weights only $weights"
env/bin/python - "$full" "$capped" "$weights" <<'PY'
import sys

full, capped, weights = map(float, sys.argv[1:])
if abs(full - 64) > 0.1:
    sys.exit("this CPU has no int8 dot product itself: not to be seen here")
assert abs(weights - 64) < 0.1, "int8 weights alone are wrong now, too"
assert capped < 6.4, "the sum is right now"
PY
