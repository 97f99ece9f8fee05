"""Which device and number format torch is to use, checked before a weight is read."""

from __future__ import annotations

import contextlib
from collections.abc import Generator

import torch

from rerankd.core.errors import PrecisionUnavailable, StartError
from rerankd.engines.precisions import TorchPrecision

DTYPES: dict[TorchPrecision, torch.dtype] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


def choose_device(wanted: str | None) -> torch.device:
    """The device: the one that is asked for, else the accelerator if there is one, else the CPU.

    Raises:
        StartError: there is no such device here; the message says which there are.
    """
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if wanted is None:
        return torch.device("cpu") if found is None else torch.device(found.type, 0)
    try:
        device = torch.device(wanted)
    except RuntimeError:
        device = None
    if device is not None and device.type == "cpu":
        return torch.device("cpu")
    known = ["cpu"]
    if found is not None:
        known += [f"{found.type}:{i}" for i in range(torch.accelerator.device_count())]
        if device is not None and device.type == found.type:
            device = torch.device(device.type, device.index or 0)
            if str(device) in known:
                return device
    raise StartError(
        f"device {wanted!r} is not there: torch {torch.__version__} finds {', '.join(known)} on "
        "this machine. For a GPU, install the build of torch for it: "
        "https://pytorch.org/get-started/locally."
    )


def choose_precision(wanted: TorchPrecision | None, device: torch.device) -> TorchPrecision:
    """The number format of weights and activations; unset = fp32 on a CPU, bf16 elsewhere.

    Raises:
        PrecisionUnavailable: this GPU has no bf16.
    """
    chosen = wanted or ("fp32" if device.type == "cpu" else "bf16")
    if (
        chosen == "bf16"
        and device.type == "cuda"
        and not torch.cuda.is_bf16_supported(including_emulation=False)
    ):
        name = torch.cuda.get_device_name(device)
        raise PrecisionUnavailable(
            f'{name} has no bf16; set precision = "fp16" or "fp32" for this model.'
        )
    return chosen


@contextlib.contextmanager
def exact_fp32() -> Generator[None]:
    """No TF32 or bf16 inside fp32 matrix products, whatever the host program has set."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a smaller batch may succeed where this failed; the CPU has no type of its own."""
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError)
        and any(text in str(error) for text in ("DefaultCPUAllocator", "MPS backend out of memory"))
    )
