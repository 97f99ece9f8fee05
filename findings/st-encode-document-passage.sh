#!/bin/sh
# sentence-transformers 6.2.0: encode_document() of a folder whose prompts are named "query" and "passage".
#
# The good guess: its docstring says that the first of "document", "passage", "corpus" among the model's prompts stands
# before the text. A folder that has "passage" and no "document" (as E5 models are often saved) gets "passage: ".
# What is seen: every model is given an empty "document" prompt of the library's own before the folder's are read, so
# "document" is always found, and the text is encoded without any prompt. encode_query() takes the folder's "query". The
# two sides of a search are then not what the folder was saved for, without a word; prompt_name="passage" is.
#
# Makes a folder, installs the library there, writes a small BERT with made-up weights. Exit 0: as above.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install -q sentence-transformers==6.2.0 transformers==5.24.0 torch==2.13.0

cat > ask.py <<'PY'
import json
import pathlib
import sys

import numpy
import sentence_transformers
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

torch.manual_seed(0)
words = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "query", "passage", ":", "rivers", "carry", "silt"]
tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
tokenizer.post_processor = processors.TemplateProcessing(
    single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
)
names = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]"}
fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=32, **names)
fast.save_pretrained("folder")
config = BertConfig(
    vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
    intermediate_size=64, max_position_embeddings=32, initializer_range=0.5,
)
BertModel(config, add_pooling_layer=False).save_pretrained("folder")
folder = pathlib.Path("folder")
modules = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
]
(folder / "modules.json").write_text(json.dumps(modules))
(folder / "1_Pooling").mkdir()
pooling = {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True}
(folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
said = {"prompts": {"query": "query: ", "passage": "passage: "}, "default_prompt_name": None}
(folder / "config_sentence_transformers.json").write_text(json.dumps(said))

model = sentence_transformers.SentenceTransformer("folder", device="cpu")
text = "rivers carry silt"


def far(one, other):
    return float(numpy.abs(one - other).max())


document, query = model.encode_document(text), model.encode_query(text)
bare = model.encode(text)
passage = model.encode(text, prompt_name="passage")
print(f"sentence-transformers {sentence_transformers.__version__}, torch {torch.__version__}")
print(f"the folder's prompts: {said['prompts']}; the model's: {model.prompts}")
print(f"encode_query(text) is {far(query, model.encode(text, prompt_name='query')):.1e} from the prompt 'query'")
print(f"encode_document(text) is {far(document, passage):.1e} from the prompt 'passage' (the guess: 0)")
print(f"encode_document(text) is {far(document, bare):.1e} from the text without a prompt (seen: 0)")
is_as_seen = far(document, bare) < 1e-6 < 1e-3 < far(document, passage)
is_as_seen = is_as_seen and far(query, model.encode(text, prompt_name="query")) < 1e-6
print("as described" if is_as_seen else "CHANGED")
sys.exit(0 if is_as_seen else 1)
PY
env/bin/python ask.py
