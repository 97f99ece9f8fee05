"""What tokenises a model's texts: the library `tokenizers`, or what does the same for less.

The library is loaded where it is needed only: a model of XLM-R's vocabulary does without. So this
module is for annotations.
"""

from __future__ import annotations

from tokenizers import Encoding, Tokenizer

from rerankd.models.unigram_tokenizer import UnigramEncoding, UnigramTokenizer

AnyTokenizer = Tokenizer | UnigramTokenizer
AnyEncoding = Encoding | UnigramEncoding
