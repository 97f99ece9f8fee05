#!/bin/sh
# sentence-transformers 5.3.0 and 6.2.0: one folder, one text with blanks at its end, two vectors.
#
# The good guess: two releases give the same vector of the same text, and a blank that the tokenizer keeps counts.
# What is seen: 5.3.0 strips every text before it is tokenised (models/Transformer.py, `str(s).strip()`), 6.2.0 does
# not. With a byte-level tokenizer (ModernBERT, RoBERTa, Qwen) the vectors of texts that begin or end with a blank
# differ between the releases. PyLate 1.6.0 pins 5.3.0 and strips too.
#
# Makes a folder, installs both there, writes a small BERT with made-up weights. Exit 0: as above.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
for release in 5.3.0 6.2.0; do
    python3 -m venv "env-$release"
    transformers=5.3.0
    [ "$release" = 6.2.0 ] && transformers=5.24.0
    "env-$release/bin/pip" install -q "sentence-transformers==$release" "transformers==$transformers" torch==2.13.0
done

cat > model.py <<'PY'
import json
import pathlib

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

torch.manual_seed(0)
tokenizer = Tokenizer(models.BPE())
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
specials = ["[PAD]", "[CLS]", "[SEP]", "[MASK]", "[UNK]"]
alphabet = pre_tokenizers.ByteLevel.alphabet()
trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=specials, initial_alphabet=alphabet)
tokenizer.train_from_iterator(["def sum(a, b): return a + b"] * 20, trainer)
tokenizer.post_processor = processors.TemplateProcessing(
    single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
)
names = {f"{name[1:-1].lower()}_token": name for name in specials}
fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64, **names)
fast.save_pretrained("folder")
config = BertConfig(
    vocab_size=len(fast), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
    intermediate_size=64, max_position_embeddings=64, initializer_range=0.5,
)
BertModel(config, add_pooling_layer=False).save_pretrained("folder")
folder = pathlib.Path("folder")
types = "sentence_transformers.models"
modules = [
    {"idx": 0, "name": "0", "path": "", "type": f"{types}.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": f"{types}.Pooling"},
]
(folder / "modules.json").write_text(json.dumps(modules))
(folder / "1_Pooling").mkdir()
pooling = {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True}
(folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
(folder / "sentence_bert_config.json").write_text('{"max_seq_length": 64, "do_lower_case": false}')
PY
cat > ask.py <<'PY'
import json
import sys

import sentence_transformers

model = sentence_transformers.SentenceTransformer("folder", device="cpu")
texts = ["return a + b", "return a + b\n", "  return a + b"]
json.dump(model.encode(texts).tolist(), open(sys.argv[1], "w"))
PY
cat > compare.py <<'PY'
import json
import sys

old, new = (json.load(open(name)) for name in ("5.3.0.json", "6.2.0.json"))


def apart(x, y):
    return max(abs(a - b) for a, b in zip(x, y))


print("text                   5.3.0 against 6.2.0   5.3.0 against the stripped text   6.2.0 against it")
for text, a, b in zip(("'return a + b'", "'return a + b\\n'", "'  return a + b'"), old, new):
    print(f"{text:22} {apart(a, b):<21.2e} {apart(a, old[0]):<33.2e} {apart(b, new[0]):.2e}")
is_as_said = apart(old[0], new[0]) < 1e-5
is_as_said &= all(apart(a, old[0]) < 1e-5 < 1e-2 < apart(b, new[0]) for a, b in zip(old[1:], new[1:]))
print("as described" if is_as_said else "NOT as described")
sys.exit(not is_as_said)
PY
HF_HUB_OFFLINE=1 env-6.2.0/bin/python model.py
for release in 5.3.0 6.2.0; do
    HF_HUB_OFFLINE=1 "env-$release/bin/python" ask.py "$release.json"
done
env-6.2.0/bin/python compare.py
