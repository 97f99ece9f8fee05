"""The longest that a model works on one text without looking whether anybody waits.

For each family and 4 MB of each of the worst texts known: what became of the text, the whole time,
the longest unit (CPU time of the process between two looks), the longest that another thread waited
for the interpreter (as the event loop would), and resident memory afterwards. Run it on an idle
machine: what else runs there is counted as waiting.

    uv run python bench/units.py [--bytes 4194304] [TOKENIZER_JSON ...]

Tokenizers are those of the tests, with small vocabularies, unless files are named.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tokenizers import Tokenizer

from rerankd.core.errors import InvalidRequest
from rerankd.core.meter import Meter
from rerankd.core.request import Content, RerankRequest
from rerankd.engines.lexical import LexicalEngine
from rerankd.models.lexical import LexicalModel
from rerankd.models.mini import load_mini
from rerankd.models.text_encoder import TextEncoder

TOKENIZERS = Path(__file__).parents[1] / "tests" / "checkpoints"
Work = Callable[[str, "Clock"], str]  # reads a text; answers what became of it


def texts(size: int) -> dict[str, str]:
    """The worst texts known, of about `size` bytes of UTF-8 each."""
    draw = random.Random(1)

    def filled(unit: str) -> str:
        return unit * (size // len(unit.encode()))

    return {
        "ligature U+FDFA": filled("\ufdfa"),
        "1.1": filled("1.1"),
        "one word": filled("a"),
        "Chinese": "".join(chr(draw.randrange(0x4E00, 0x9FA5)) for _ in range(size // 3)),
        "spaces": filled(" "),
        "emoji": filled("😀"),
        "random bytes": draw.randbytes(size * 2 // 3).decode("latin-1"),
        "Thai": filled("ภาษาไทยเป็นภาษาที่"),
        "English": filled("the quick brown fox jumps over lazy dogs. "),
    }


class Clock(Meter):
    """Notes the longest CPU time between two looks."""

    def __init__(self) -> None:
        super().__init__()
        self.longest_s = 0.0
        self._last = time.process_time()

    def check(self) -> None:
        """See Meter."""
        now = time.process_time()
        self.longest_s, self._last = max(self.longest_s, now - self._last), now
        super().check()


class Waiting:
    """A thread that wants the interpreter every millisecond, and notes how late it was."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.is_set():
            before = time.perf_counter()
            time.sleep(0.001)
            self.longest_s = max(self.longest_s, time.perf_counter() - before - 0.001)


@dataclass(frozen=True)
class Family:
    """What reads texts."""

    name: str
    work: Work


def of_tokenizer(name: str, fields: dict[str, Any]) -> Family:
    """A tokenizer alone, as cross-encoders and decoders use it."""
    tokenizer = Tokenizer.from_str(json.dumps(fields))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    encoder = TextEncoder(tokenizer)

    def work(text: str, clock: Clock) -> str:
        return f"{encoder.encode(text, 'documents[0]', clock.check).size} tokens"

    return Family(name, work)


def lexical() -> Family:
    """Segmentation, and the engine's steps."""
    model, engine = LexicalModel(), LexicalEngine()

    def work(text: str, clock: Clock) -> str:
        [row] = model.prepare(request(text), clock).rows
        for _ in engine.slices(row):
            clock.check()
        return f"{row.tokens} terms"

    return Family("rerankd-lexical", work)


def mini() -> Family:
    """Word pieces and terms; not the encoder."""
    model = load_mini(cache_bytes=0)

    def work(text: str, clock: Clock) -> str:
        return f"{model.prepare(request(text), clock).rows[0].tokens} pieces"

    return Family("rerankd-mini", work)


def request(text: str) -> RerankRequest:
    """One document."""
    return RerankRequest(query=Content(value="what is it"), documents=(Content(value=text),))


def families(files: list[Path]) -> list[Family]:
    """Those of the tests, or one for each file."""
    if files:
        return [of_tokenizer(str(file), json.loads(file.read_text("utf-8"))) for file in files]
    names = {"BERT": "bert", "XLM-R": "xlm-roberta", "ModernBERT": "modernbert", "Qwen": "qwen"}
    read = {
        name: json.loads((TOKENIZERS / f"tokenizer-{file}.json").read_text("utf-8"))
        for name, file in names.items()
    }
    steps = [
        {"type": "Strip", "strip_left": True, "strip_right": True},
        {"type": "NFKC"},
        {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
    ]
    deberta = {**read["XLM-R"], "normalizer": {"type": "Sequence", "normalizers": steps}}
    found = [of_tokenizer(name, fields) for name, fields in (*read.items(), ("DeBERTa", deberta))]
    return [mini(), lexical(), *found]


def resident_mb() -> int:
    """Of this process, in 10⁶ bytes."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * 4096 // 1_000_000


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bytes", type=int, default=4_194_304)
    parser.add_argument("files", type=Path, nargs="*")
    args = parser.parse_args()
    worst = texts(args.bytes)
    print("| family | text | outcome | whole, s | unit, CPU ms | others wait, ms | resident, MB |")
    print("|---|---|---|--:|--:|--:|--:|")
    for family in families(args.files):
        for name, text in worst.items():
            clock, started = Clock(), time.perf_counter()
            with Waiting() as waiting:
                try:
                    outcome = family.work(text, clock)
                except InvalidRequest:
                    outcome = "400: cannot be cut"
                clock.check()
            spent = time.perf_counter() - started
            gc.collect()
            print(
                f"| {family.name} | {name} | {outcome} | {spent:.1f} | "
                f"{clock.longest_s * 1e3:.0f} | {waiting.longest_s * 1e3:.0f} | {resident_mb()} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
