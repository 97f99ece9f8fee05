"""What a number of config.json may be: a wrong one is refused before anything is made of it.

The limits are far above every published model: 128 layers, a hidden size of 16 384, 262 144 token
ids, 1 048 576 positions, thetas of 10⁷.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

MAX_LAYERS: Final = 1024
MAX_SIZE: Final = 1 << 24
MAX_NUMBER: Final = 1e12
MIN_NUMBER: Final = 1e-30

Layers = Annotated[int, Meta(ge=1, le=MAX_LAYERS)]
Size = Annotated[int, Meta(ge=1, le=MAX_SIZE)]
OptionalSize = Annotated[int, Meta(ge=0, le=MAX_SIZE)]  # 0 = there is none
SignedSize = Annotated[int, Meta(ge=-1, le=MAX_SIZE)]  # -1 = there is none
Positive = Annotated[float, Meta(ge=MIN_NUMBER, le=MAX_NUMBER)]
TokenId = Annotated[int, Meta(ge=0, le=MAX_SIZE)]
