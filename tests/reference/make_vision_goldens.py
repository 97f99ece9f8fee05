"""Golden prompts and logits of Qwen3-VL by torch and transformers in fp32, the plain way.

`python -m tests.reference.make_vision_goldens` writes golden-vision.json (needs torch 2.13,
transformers 5.23 and Pillow). Of rerankd only the made-up media are used: prompts are put together
as the publisher's own code and template do, expanded by transformers' processor, and every pair
goes alone through the whole model. With the path of a published chat template behind it, the
command also checks that the template renders every prompt just so.

Images are resized by Pillow and go through transformers' Pillow image processor. qwen_vl_utils and
transformers' video processor need torchvision, whose wheel on PyPI does not load beside torch's CPU
build: frames are resized as torchvision does it (torch's bicubic with antialiasing, rounded), and
cut into patches by that processor's own function, which needs torch alone.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypedDict

import numpy as np

from tests.checkpoints.vision import GOLDEN_SHAPES, write
from tests.reference.make_goldens import save, written_pairs
from tests.reference.pictures import Clip, Picture, frames

GOLDEN = Path(__file__).parent / "golden-vision.json"
CHUNK_TOKENS, OVERLAP_TOKENS = 300, 40
MAX_LENGTH = 10240
TOKEN = 32 * 32
SYSTEM = (
    "Judge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no".'
)
INSTRUCTION = "Given a search query, retrieve relevant candidates that answer the query."
SIZES = (  # height, width: of the table of image tokens
    (1, 1),
    (16, 16),
    (48, 48),
    (64, 64),
    (100, 150),
    (150, 100),
    (224, 224),
    (240, 320),
    (256, 256),
    (336, 336),
    (480, 640),
    (512, 512),
    (600, 800),
    (720, 1280),
    (1024, 1024),
    (1080, 1920),
    (1344, 1344),
    (2160, 3840),
    (4000, 3000),
    (64, 12000),
)

Side = str | Picture | Clip


@dataclass(frozen=True, slots=True)
class Item:
    """One pair; instruction None = the model's default."""

    kind: str  # "text", "image", "mixed", "video"
    query: Side
    document: Side
    instruction: str | None = None


class Prompt(TypedDict):
    """What the processor makes of one item."""

    ids: list[int | list[int]]  # an id, or a run of equal ones: [id, how many]
    positions: list[list[int]]  # time, row and column of each token; of some items only


class Golden(TypedDict):
    """Logits of one checkpoint, yes minus no."""

    pairs: list[float]  # as items()
    chunks: list[list[float]]  # as long_items(), chunk by chunk of rows of CHUNK_TOKENS


def clip(seed: int, height: int, width: int, count: int, fps: float = 2.0) -> Clip:
    """So many frames, one a second or so."""
    return Clip(seed, height, width, tuple(int(i * fps + i % 2) for i in range(count)), fps)


def items() -> list[Item]:
    """Pairs of every kind: sizes that need resizing and that do not, odd and even frames."""
    known = written_pairs()
    short = [pair for pair in known if len(pair["document"]) < 700]
    asked = ("Find code.", "请判断文档是否回答了问题", "Retrieve\npassages {query} of {any} kind")
    sizes = [(64, 64), (96, 160), (100, 150), (1, 1), (31, 200), (300, 200), (128, 64), (250, 333)]
    made: list[Item] = []
    for i, pair in enumerate(short[::3][:48]):
        instruction = asked[i % 3] if i % 5 == 4 else None
        made.append(Item("text", pair["query"], pair["document"], instruction))
    for i in range(24):
        pair, size = short[7 * i % len(short)], sizes[i % len(sizes)]
        instruction = asked[i % 3] if i % 4 == 3 else None
        made.append(Item("image", pair["query"], Picture(i, *size), instruction))
    for i in range(16):
        pair, size = short[(11 * i + 3) % len(short)], sizes[(i + 3) % len(sizes)]
        made.append(Item("mixed", Picture(100 + i // 2, *size), pair["document"]))
    for i in range(16):
        query = Picture(200 + i // 4, *sizes[i // 4])
        made.append(Item("image", query, Picture(300 + i, *sizes[(3 * i) % len(sizes)])))
    for i in range(10):
        pair = short[(13 * i + 1) % len(short)]
        height, width = sizes[(i + 1) % len(sizes)]
        shown = clip(400 + i, height, width, 1 + i % 5, (2.0, 29.97)[i % 2])
        made.append(Item("video", pair["query"], shown))
        made.append(Item("video", shown, pair["document"], asked[0] if i % 3 == 2 else None))
    for i in range(4):
        made.append(Item("video", Picture(500 + i, *sizes[i]), clip(510 + i, 90, 120, 2 + i)))
        made.append(Item("video", clip(520 + i, 60, 60, 2), clip(530 + i, 64, 96, 4 - i)))
    return made


def long_items() -> list[Item]:
    """A document of many chunks behind a text, and behind an image."""
    known = written_pairs()
    document = "A " + " ".join(pair["document"] for pair in known[:40])
    return [
        Item("text", known[5]["query"], document),
        Item("mixed", Picture(600, 64, 96), document),
    ]


class Reference:
    """transformers' tokenizer, processor and model of one folder."""

    def __init__(self, folder: Path) -> None:
        self._torch: Any = importlib.import_module("torch")
        transformers: Any = importlib.import_module("transformers")
        self._torch.set_grad_enabled(False)
        self._image: Any = importlib.import_module("PIL.Image")
        models = "transformers.models"
        self._sizes: Any = importlib.import_module(
            f"{models}.qwen2_vl.image_processing_pil_qwen2_vl"
        )
        self._video: Any = importlib.import_module(
            f"{models}.qwen3_vl.video_processing_qwen3_vl"
        ).Qwen3VLVideoProcessor
        processing: Any = importlib.import_module(f"{models}.qwen3_vl.processing_qwen3_vl")
        self.tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder)
        self.model: Any = transformers.Qwen3VLForConditionalGeneration.from_pretrained(
            folder, dtype="float32"
        ).eval()
        self.images: Any = self._sizes.Qwen2VLImageProcessorPil(
            patch_size=16, image_mean=[0.5] * 3, image_std=[0.5] * 3
        )
        # as Qwen3VLProcessor.__init__, but for a video processor, which wants torchvision
        processor: Any = object.__new__(processing.Qwen3VLProcessor)
        processor.tokenizer = self.tokenizer
        processor.image_processor = self.images
        processor.video_processor = SimpleNamespace(merge_size=2, temporal_patch_size=2)
        for name in ("vision_start", "vision_end", "image", "video"):
            token = f"<|{name}_pad|>" if name in ("image", "video") else f"<|{name}|>"
            setattr(processor, f"{name}_token", token)
            found = self.tokenizer.convert_tokens_to_ids(token)
            setattr(processor, f"{name}_token_id", found)
        self._processor = processor

    def text(self, item: Item) -> str:
        """The prompt, one placeholder per picture.

        Source: Qwen3-VL-Embedding, src/models/qwen3_vl_reranker.py, format_mm_instruction, as the
        chat template of Qwen3-VL renders it.
        """

        def shown(side: Side) -> str:
            if isinstance(side, str):
                return side
            name = "image" if isinstance(side, Picture) else "video"
            return f"<|vision_start|><|{name}_pad|><|vision_end|>"

        return (
            f"<|im_start|>system\n{SYSTEM}<|im_end|>\n"
            f"<|im_start|>user\n<Instruct>: {item.instruction or INSTRUCTION}"
            f"<Query>:{shown(item.query)}\n<Document>:{shown(item.document)}<|im_end|>\n"
            "<|im_start|>assistant\n"
        )

    def rendered(self, item: Item, template: str) -> str:
        """The same by a chat template, from the messages of format_mm_instruction."""
        parts = [{"type": "text", "text": "<Instruct>: " + (item.instruction or INSTRUCTION)}]
        for prefix, side in (("<Query>:", item.query), ("\n<Document>:", item.document)):
            parts.append({"type": "text", "text": prefix})
            if isinstance(side, str):
                parts.append({"type": "text", "text": side})
            else:
                parts.append({"type": "image" if isinstance(side, Picture) else "video"})
        messages = [
            {"role": "system", "content": [{"type": "text", "text": SYSTEM}]},
            {"role": "user", "content": parts},
        ]
        return self.tokenizer.apply_chat_template(
            messages, chat_template=template, tokenize=False, add_generation_prompt=True
        )

    def resized(self, shown: Picture | Clip) -> list[Any]:
        """Frames in the recipe's size, (H, W, 3) each.

        Source: qwen_vl_utils 0.0.14, fetch_image and fetch_video.
        """
        if isinstance(shown, Picture):
            height, width = self.size(shown, 4 * TOKEN, 1800 * TOKEN)
            whole = self._image.fromarray(frames(shown)[0])
            return [np.asarray(whole.resize((width, height)))]
        made = [*frames(shown)]
        made += made[-1:] * (len(made) % 2)
        share = 10 * 768 * TOKEN / len(made) * 2
        size = self.size(shown, 128 * TOKEN, max(min(768 * TOKEN, share), int(128 * TOKEN * 1.05)))
        stacked = self._torch.tensor(np.stack(made)).permute(0, 3, 1, 2).float()
        found = self._torch.nn.functional.interpolate(
            stacked, size, mode="bicubic", antialias=True, align_corners=False
        )
        return [*found.clamp(0, 255).round().permute(0, 2, 3, 1).to(self._torch.uint8).numpy()]

    def size(self, shown: Picture | Clip, least: int, most: float) -> tuple[int, int]:
        """Height and width by transformers' smart_resize, which is qwen_vl_utils'."""
        return self._sizes.smart_resize(shown.height, shown.width, 32, least, most)

    def inputs(self, item: Item) -> dict[str, Any]:
        """What the model takes: as Qwen3VLProcessor.__call__ puts it together."""
        torch, sides = self._torch, (item.query, item.document)
        pictures = [side for side in sides if isinstance(side, Picture)]
        clips = [side for side in sides if isinstance(side, Clip)]
        made: dict[str, Any] = {}
        texts: dict[str, list[str]] = {"images": [], "videos": []}
        if pictures:
            resized = [self._image.fromarray(self.resized(each)[0]) for each in pictures]
            found = self.images(resized, do_resize=False, return_tensors="pt")
            made |= {name: found[name] for name in ("pixel_values", "image_grid_thw")}
            texts["images"] = [
                self._processor.replace_image_token(found, i) for i in range(len(pictures))
            ]
        if clips:
            cut = [self._patches(each) for each in clips]
            grids = torch.tensor([grid for _, grid in cut])
            made["pixel_values_videos"] = torch.cat([values for values, _ in cut])
            made["video_grid_thw"] = grids
            metadata = [
                SimpleNamespace(frames_indices=list(each.indices), fps=each.fps) for each in clips
            ]
            found = {"video_grid_thw": grids, "video_metadata": metadata}
            texts["videos"] = [
                self._processor.replace_video_token(found, i) for i in range(len(clips))
            ]
        expanded, _ = self._processor.get_text_with_replacements(
            [self.text(item)], texts["images"], texts["videos"]
        )
        ids = self.tokenizer(expanded)["input_ids"]
        made["input_ids"] = torch.tensor(ids)
        types = np.zeros((1, len(ids[0])), dtype=np.int64)
        types[np.array(ids) == self._processor.image_token_id] = 1
        types[np.array(ids) == self._processor.video_token_id] = 2
        made["mm_token_type_ids"] = torch.tensor(types)
        return made

    def _patches(self, shown: Clip) -> tuple[Any, tuple[int, int, int]]:
        """Values of a video, (patches, 1536), and its grid."""
        torch = self._torch
        stacked = np.stack(self.resized(shown))
        video = (torch.tensor(stacked).permute(0, 3, 1, 2)[None].float() / 255 - 0.5) / 0.5
        values, *grid = self._video.patchify(None, video, 16, 2, 2)
        return values[0], (grid[0], grid[1], grid[2])

    def positions(self, inputs: dict[str, Any]) -> list[list[int]]:
        """M-RoPE positions of one prompt, (3, L)."""
        wanted = ("input_ids", "image_grid_thw", "video_grid_thw", "mm_token_type_ids")
        given = {name: inputs[name] for name in wanted if name in inputs}
        return self.model.model.get_rope_index(**given)[0][:, 0].tolist()

    def prompt(self, item: Item, *, whole: bool) -> Prompt:
        """Ids and, if `whole`, positions."""
        inputs = self.inputs(item)
        positions = self.positions(inputs) if whole else []
        return {"ids": runs(inputs["input_ids"][0].tolist()), "positions": positions}

    def logit(self, inputs: dict[str, Any]) -> float:
        """Yes minus no at the last position of one row, by the whole model and its whole head."""
        yes, no = (self.tokenizer.convert_tokens_to_ids(word) for word in ("yes", "no"))
        logits = self.model(**inputs, logits_to_keep=1).logits[0, -1]
        return float(logits[yes].double() - logits[no].double())

    def pair(self, item: Item) -> float:
        """One pair, whole."""
        return self.logit(self.inputs(item))

    def truncated(self, item: Item) -> list[int]:
        """A text pair's ids cut as published: Qwen3VLReranker.truncate_tokens_optimized."""
        ids: list[int] = self.inputs(item)["input_ids"][0].tolist()
        special = set(self.tokenizer.all_special_ids)
        body, kept = ids[:-5], list[int]()
        room = MAX_LENGTH - sum(token in special for token in body)
        if len(body) <= MAX_LENGTH:
            return ids
        for token in body:
            if token in special:
                kept.append(token)
            elif room > 0:
                kept.append(token)
                room -= 1
        return kept + ids[-5:]

    def chunks(self, item: Item) -> list[float]:
        """A text document's chunks, each alone. Source of the rule: BCEmbedding/models/utils.py."""
        inputs = self.inputs(item)
        ids: list[int] = inputs["input_ids"][0].tolist()
        empty = Item(item.kind, item.query, "A", item.instruction)
        head = len(self.inputs(empty)["input_ids"][0]) - 6
        document, after = ids[head:-5], ids[-5:]
        room = CHUNK_TOKENS - head - len(after)
        overlap = min(OVERLAP_TOKENS, room // 4)
        found: list[float] = []
        start = 0
        while True:
            row = ids[:head] + document[start : start + room] + after
            types = inputs["mm_token_type_ids"][:, :head]
            padded = self._torch.nn.functional.pad(types, (0, len(row) - head))
            own = {"input_ids": self._torch.tensor([row]), "mm_token_type_ids": padded}
            found.append(self.logit({**inputs, **own}))
            if start + room >= len(document):
                return found
            start += room - overlap

    def image_tokens(self, height: int, width: int) -> tuple[int, int, int]:
        """Height, width and tokens that the image processor makes of a size."""
        limits = {"shortest_edge": 4 * TOKEN, "longest_edge": 1800 * TOKEN}
        blank = self._image.new("RGB", (width, height))
        _, down, across = self.images(blank, size=limits)["image_grid_thw"][0].tolist()
        return down * 16, across * 16, down * across // 4


def runs(ids: Sequence[int]) -> list[int | list[int]]:
    """Ids, with runs of equal ones written short."""
    found = [(token, len(list(run))) for token, run in groupby(ids)]
    return [token if count == 1 else [token, count] for token, count in found]


def with_positions(wanted: Sequence[Item]) -> set[int]:
    """A few items of each kind, whose positions are kept too."""
    seen: dict[str, int] = {}
    picked: set[int] = set()
    for i, item in enumerate(wanted):
        seen[item.kind] = seen.get(item.kind, 0) + 1
        if seen[item.kind] in (2, 6) and item.kind != "text":
            picked.add(i)
    return picked


def main() -> None:
    """Write golden-vision.json."""
    found: dict[str, object] = {}
    wanted = items()
    template = Path(sys.argv[1]).read_text(encoding="utf-8") if len(sys.argv) > 1 else None
    for name, shape in GOLDEN_SHAPES.items():
        with tempfile.TemporaryDirectory() as folder:
            reference = Reference(write(Path(folder), shape))
            for item in wanted if template is not None else ():
                if reference.rendered(item, str(template)) != reference.text(item):
                    raise SystemExit(f"{sys.argv[1]} renders another prompt for {item}")
            golden: Golden = {
                "pairs": [reference.pair(item) for item in wanted],
                "chunks": [reference.chunks(item) for item in long_items()],
            }
            found[name] = golden
            if "prompts" not in found:
                whole = with_positions(wanted)
                found["prompts"] = [
                    reference.prompt(item, whole=i in whole) for i, item in enumerate(wanted)
                ]
                found["sizes"] = [[*size, *reference.image_tokens(*size)] for size in SIZES]
    save(GOLDEN, json.loads(json.dumps(found)))


if __name__ == "__main__":
    main()
