"""From a checkpoint's sizes and tensors to the engine that the operator chose."""

from __future__ import annotations

from rerankd.core.errors import StartError
from rerankd.core.options import EngineOptions
from rerankd.engines.base import Engine
from rerankd.engines.decoder import DecoderConfig
from rerankd.engines.encoder import EncoderConfig, Weights
from rerankd.engines.modernbert_config import ModernBertConfig


def encoder_engine(
    config: EncoderConfig | ModernBertConfig, weights: Weights, options: EngineOptions
) -> Engine:
    """The engine of a cross-encoder.

    Raises:
        StartError: what is chosen cannot run here; the message says what to do.
    """
    from rerankd.engines.openvino.engine import OpenVinoEngine  # here: 0.4 s to import

    _refuse_unbuilt(options)
    return OpenVinoEngine(config, weights, streams=options.streams)


def decoder_engine(
    config: DecoderConfig, weights: Weights, options: EngineOptions, *, yes: int, no: int
) -> Engine:
    """The engine of a decoder that answers yes or no; arguments as DecoderEngine, errors as above.

    Args:
        config: sizes.
        weights: tensors, read once.
        options: the operator's choice.
        yes: the token id whose logit counts for a document.
        no: the one that counts against it.
    """
    from rerankd.engines.openvino.decoder_engine import DecoderEngine  # here: 0.4 s to import

    _refuse_unbuilt(options)
    return DecoderEngine(config, weights, yes=yes, no=no)


def _refuse_unbuilt(options: EngineOptions) -> None:
    if options.engine != "openvino" or options.quantization is not None:
        raise StartError("This version runs models on OpenVINO in fp32 only.")
