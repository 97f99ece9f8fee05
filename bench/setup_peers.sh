#!/usr/bin/env bash
# Makes the peers' environments, one per peer because they pin different transformers:
#   bench/setup_peers.sh DIR
# About 6 GB. torch is installed first and pinned in every constraint file, so that no range pulls
# another one; configure pip for a CPU build of it, or the GPU libraries come along.
# st-onnx holds sentence-transformers 5: the onnx extra of 6.2.0 cannot be installed (optimum-onnx
# 0.1.0 wants transformers < 4.58, sentence-transformers 6 wants >= 5).
set -euo pipefail
dir=${1:?bench/setup_peers.sh DIR}
constraints=$(cd "$(dirname "$0")" && pwd)/peers/constraints
mkdir -p "$dir"

peer() { # NAME TORCH? REQUIREMENT
    [ -x "$dir/$1/bin/python" ] || python3 -m venv "$dir/$1"
    if [ "$2" = torch ]; then "$dir/$1/bin/pip" install -q 'torch==2.13.0'; fi
    "$dir/$1/bin/pip" install -q -c "$constraints/$1.txt" "$3"
    echo "$dir/$1"
}

peer st torch 'sentence-transformers==6.2.0'
peer st-onnx torch 'sentence-transformers[onnx]==5.7.0'
peer st-openvino torch 'sentence-transformers[openvino]==6.2.0'
# optimum-intel pulls torchvision, whose usual build does not load beside a CPU build of torch; the
# text models do without it.
"$dir/st-openvino/bin/pip" uninstall -q -y torchvision
peer fastembed - 'fastembed==0.9.1'
peer infinity torch 'infinity-emb[torch,optimum,server]==0.0.78'
# The proxy that routes.py compares with: exactly what tests/clients/proxy runs.
[ -x "$dir/litellm/bin/python" ] || python3 -m venv "$dir/litellm"
"$dir/litellm/bin/pip" install -q --no-deps -r "$(dirname "$constraints")/../../tests/clients/proxy/pins.txt"
echo "$dir/litellm"
# llama.cpp as decoders.py compares with it, built from source for this processor: an hour of one
# core. Its multimodal library is left out.
[ -x "$dir/llama/bin/python" ] || python3 -m venv "$dir/llama"
CMAKE_ARGS='-DLLAVA_BUILD=OFF' "$dir/llama/bin/pip" install -q --no-binary llama-cpp-python \
    -c "$constraints/llama.txt" 'llama-cpp-python==0.3.36' 'gguf==0.19.0'
echo "$dir/llama"
