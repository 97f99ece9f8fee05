"""`TorchEngine`: one model of any family on a CPU or a GPU.

fp32 is exact fp32: no TF32. With bf16 or fp16 weights and activations, sums are fp32 inside torch's
kernels, and so are the final norm, the head and the logits.

Memory beside the weights: the activations of one call (CALL_TOKENS); where they do not fit, the
rows are split and run again, down to one row. A long row of a text decoder runs as slices, each
behind the keys and values of those before it, which are held until it ends. Of every other family
one row, at most the model's window, is the longest call.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Final

import numpy as np
import torch

from rerankd.core.errors import EngineFailed, StartError
from rerankd.core.rows import Logits, Row
from rerankd.engines.base import EngineInfo
from rerankd.engines.cores import usable_cores
from rerankd.engines.decoder import DecoderConfig
from rerankd.engines.encoder import EncoderConfig, TableWeights
from rerankd.engines.modernbert_config import ModernBertConfig
from rerankd.engines.precisions import TorchPrecision
from rerankd.engines.shared_prefix import Group, plan_groups
from rerankd.engines.torch.bert import Bert
from rerankd.engines.torch.device import (
    DTYPES,
    choose_device,
    choose_precision,
    exact_fp32,
    is_out_of_memory,
)
from rerankd.engines.torch.layers import Loader, Network
from rerankd.engines.torch.modernbert import ModernBert
from rerankd.engines.torch.plan import plan_calls
from rerankd.engines.torch.qwen import Past, Qwen
from rerankd.engines.torch.qwen_vl import QwenVl
from rerankd.engines.vision_config import VisionDecoderConfig
from rerankd.engines.visuals import misplaced, with_image_ids

# Tokens of one call. A GPU needs thousands of rows in a matrix product to be busy; a CPU does not.
CALL_TOKENS_CPU: Final = 1024
CALL_TOKENS_GPU: Final = 16_384
# A slice of a longer row of a decoder on the CPU; shorter rows share their prefixes within a batch.
SLICE_TOKENS_CPU: Final = 512
MAX_ROWS: Final = 256  # planned together (engines.shared_prefix)

AnyConfig = EncoderConfig | ModernBertConfig | DecoderConfig | VisionDecoderConfig


class TorchEngine:
    """Ids in, logits out; see engines.base.Engine."""

    def __init__(
        self,
        config: AnyConfig,
        weights: TableWeights,
        *,
        device: str | None = None,
        precision: TorchPrecision | None = None,
        yes_no: tuple[int, int | None] | None = None,
    ) -> None:
        """Read the weights to the device.

        Args:
            config: sizes of the model.
            weights: its tensors; read once, and not kept.
            device: as torch names it; None = a GPU if there is one.
            precision: of weights and activations; None = fp32 on a CPU, bf16 elsewhere.
            yes_no: for a decoder only: the rows of the head for and, if any, against a document.

        Raises:
            StartError: there is no such device, its memory is too small, or it lacks the
                precision.
        """
        place = choose_device(device)
        chosen = choose_precision(precision, place)
        is_cpu = place.type == "cpu"
        if is_cpu:  # torch does not see a container's quota
            torch.set_num_threads(min(torch.get_num_threads(), usable_cores()))
        self._config = config
        self._device = place
        is_decoder = isinstance(config, DecoderConfig | VisionDecoderConfig)
        self._labels = 1 if is_decoder else config.labels
        self._call_tokens = CALL_TOKENS_CPU if is_cpu else CALL_TOKENS_GPU
        self._slice_tokens = SLICE_TOKENS_CPU if is_cpu else CALL_TOKENS_GPU
        load = Loader(weights, place, DTYPES[chosen])
        try:
            self._network: Network | None = _network(config, load, yes_no)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise StartError(
                f"The model does not fit into the memory of {place} in {chosen}: {error}"
            ) from error
        self._info = EngineInfo(
            name="torch",
            device=str(place),
            precision=chosen,
            max_length=config.max_length,
            batch_tokens=2 * self._call_tokens if is_cpu else self._call_tokens,
            slice_tokens=self._slice_tokens if isinstance(self._network, Qwen) else None,
            slice_bytes=_kv_bytes(config, DTYPES[chosen].itemsize),
        )

    @property
    def info(self) -> EngineInfo:
        """Name, device, precision and limits."""
        return self._info

    def forward(self, batch: Sequence[Row]) -> Logits:
        """Logits (B, K) of B rows; see engines.base.Engine.forward."""
        network = self._network
        if network is None:
            raise EngineFailed("the engine is closed")
        logits = np.empty((len(batch), self._labels), dtype=np.float32)
        try:
            self._check(batch)
            with torch.inference_mode(), exact_fp32():
                for start in range(0, len(batch), MAX_ROWS):
                    rows = batch[start : start + MAX_ROWS]
                    logits[start : start + MAX_ROWS] = self._run(network, rows)
        except EngineFailed:
            raise
        except Exception as error:
            raise EngineFailed(f"torch could not run the batch: {error}") from error
        return logits

    def slices(self, row: Row) -> Generator[int, None, Logits]:
        """Logits (1,) of one row of a decoder of texts; see engines.base.Sliced."""
        try:
            self._check([row])
            steps = -(-row.tokens // self._slice_tokens)
            past: Past | None = None
            logits = np.empty((1, 1), dtype=np.float32)
            for step in range(steps):
                network = self._sliced()
                ids = row.ids[step * row.tokens // steps : (step + 1) * row.tokens // steps]
                with torch.inference_mode(), exact_fp32():  # not across yield: others run there
                    past = past or network.past(row.tokens)
                    logits = network.slice(ids, past).float().cpu().numpy()
                yield ids.size
            return logits[0]
        except EngineFailed:
            raise
        except Exception as error:
            raise EngineFailed(f"torch could not run the row: {error}") from error

    def _sliced(self) -> Qwen:
        """The network of an open engine whose rows are cut."""
        if not isinstance(self._network, Qwen):
            raise EngineFailed("the engine is closed, or does not cut rows")
        return self._network

    def close(self) -> None:
        """Drop the weights and give the device's memory back."""
        self._network = None
        self._free()

    def _check(self, batch: Sequence[Row]) -> None:
        """A bad index is an error here; on a GPU it would end the process's use of the device."""
        for row in batch:
            ids, limit = row.ids, self._config.max_length
            if ids.ndim != 1 or not 0 < ids.size <= limit:
                raise EngineFailed(f"a row has shape {ids.shape}; 1 to {limit} tokens fit.")
            if not (int(ids.min()) >= 0 and int(ids.max()) < self._config.vocab):
                raise EngineFailed("a row has token ids that the model does not know.")
            wrong = self._misplaced(row)
            if wrong:
                raise EngineFailed(f"a row has {wrong}.")

    def _misplaced(self, row: Row) -> str:
        """What is wrong with a row's pictures; empty = nothing."""
        if isinstance(self._config, VisionDecoderConfig):
            return misplaced(row, self._config.vision)
        return "pictures, which this model does not see" if row.visuals else ""

    def _run(self, network: Network, rows: Sequence[Row]) -> Logits:
        """Logits (B, K) of at most MAX_ROWS rows."""
        groups = [Group(0, tuple(range(len(rows))))]
        if isinstance(self._config, DecoderConfig):
            groups = plan_groups([row.ids for row in rows], [0] * len(rows))
        elif isinstance(self._config, VisionDecoderConfig):
            told, _ = with_image_ids(rows, self._config.vocab)  # other pictures, other prefixes
            groups = plan_groups([row.ids for row in told], [0] * len(rows))
        logits = np.empty((len(rows), self._labels), dtype=np.float32)
        lengths = [row.tokens for row in rows]
        for call in plan_calls(groups, lengths, max_tokens=self._call_tokens):
            members = [i for group in call for i in group.members]
            logits[members] = self._call(network, rows, call)
        return logits

    def _call(self, network: Network, rows: Sequence[Row], call: Sequence[Group]) -> Logits:
        """One call; what does not fit into memory is halved and run again."""
        try:
            return network(rows, call).float().cpu().numpy()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            reason = str(error)
        # out of the handler: the error's frames held the tensors that did not fit
        self._free()
        members = [i for group in call for i in group.members]
        if len(members) == 1:
            tokens = rows[members[0]].tokens
            raise EngineFailed(f"{self._device} has no room for a row of {tokens} tokens: {reason}")
        middle = len(members) // 2
        halves = (members[:middle], members[middle:])
        return np.concatenate([self._run(network, [rows[i] for i in half]) for half in halves])

    def _free(self) -> None:
        if self._device.type != "cpu":
            torch.accelerator.memory.empty_cache()


def _kv_bytes(config: AnyConfig, item_bytes: int) -> int:
    """Keys and values of one token, where rows run in slices."""
    return (
        2 * config.layers * config.kv_width * item_bytes if isinstance(config, DecoderConfig) else 0
    )


def _network(config: AnyConfig, load: Loader, yes_no: tuple[int, int | None] | None) -> Network:
    if isinstance(config, DecoderConfig | VisionDecoderConfig):
        if yes_no is None:
            raise TypeError("a decoder needs the ids of its two answers")
        yes, no = yes_no
        if isinstance(config, VisionDecoderConfig):
            return QwenVl(config, load, yes=yes, no=no)
        return Qwen(config, load, yes=yes, no=no)
    if isinstance(config, ModernBertConfig):
        return ModernBert(config, load)
    return Bert(config, load)
