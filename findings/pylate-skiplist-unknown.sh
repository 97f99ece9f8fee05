#!/bin/sh
# PyLate 1.6.0: a skiplist with a sign that the vocabulary lacks takes every unknown word of a document away.
#
# The good guess: `skiplist_words` (string.punctuation by default) leaves out the vectors of these signs, and a sign
# that is no token of the model leaves out nothing.
# What is seen: such a sign is looked up as the unknown token's id, so all tokens of a document that are unknown, words
# included, have no vector. sentence-transformers 6.2.0 warns and drops the sign from the list, so the same folder has
# other scores there.
#
# Makes a folder, installs both there, writes a small BERT with made-up weights and a vocabulary without "+". Exit 0: as above.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env-pylate
env-pylate/bin/pip install -q pylate==1.6.0 torch==2.11.0
python3 -m venv env-st
env-st/bin/pip install -q sentence-transformers==6.2.0 transformers==5.24.0 torch==2.13.0

cat > model.py <<'PY'
import json
import pathlib
import string

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

torch.manual_seed(0)
specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
words = [*specials, "[Q] ", "[D] ", *(sign for sign in string.punctuation if sign != "+"), "red", "planet"]
vocab = {word: i for i, word in enumerate(words)}
tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
tokenizer.normalizer = normalizers.BertNormalizer()
tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
tokenizer.post_processor = processors.TemplateProcessing(
    single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
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
modules = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Dense", "type": "pylate.models.Dense.Dense"},
]
(folder / "modules.json").write_text(json.dumps(modules))
(folder / "1_Dense").mkdir()
dense = {"in_features": 32, "out_features": 16, "bias": False, "use_residual": False}
dense["activation_function"] = "torch.nn.modules.linear.Identity"
(folder / "1_Dense" / "config.json").write_text(json.dumps(dense))
save_file({"linear.weight": torch.randn(16, 32)}, folder / "1_Dense" / "model.safetensors")
(folder / "sentence_bert_config.json").write_text('{"max_seq_length": 63, "do_lower_case": false}')
settings = {"model_type": "ColBERT", "query_prefix": "[Q] ", "document_prefix": "[D] "}
settings |= {"query_length": 16, "document_length": 64, "skiplist_words": list(string.punctuation)}
(folder / "config_sentence_transformers.json").write_text(json.dumps(settings))
PY
cat > pylate_ask.py <<'PY'
from pylate import models

model = models.ColBERT("folder", device="cpu")
print(len(model.encode(["red unheard planet."], is_query=False, show_progress_bar=False)[0]))
PY
cat > st_ask.py <<'PY'
from sentence_transformers import MultiVectorEncoder

print(len(MultiVectorEncoder("folder", device="cpu").encode_document("red unheard planet.")))
PY
export HF_HUB_OFFLINE=1
env-st/bin/python model.py
pylate=$(env-pylate/bin/python pylate_ask.py 2>/dev/null | tail -1)
st=$(env-st/bin/python st_ask.py 2>/dev/null | tail -1)
echo "document: 'red unheard planet.', tokens: [CLS] [D] red [UNK] planet . [SEP]"
echo "vectors with PyLate 1.6.0:                $pylate (guess: 6, all but the full stop)"
echo "vectors with sentence-transformers 6.2.0: $st"
[ "$pylate" = 5 ] && [ "$st" = 6 ] && echo "as described"
