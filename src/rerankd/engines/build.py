"""From a checkpoint's sizes and tensors to the engine that the operator chose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from rerankd.core.errors import StartError
from rerankd.core.options import LoadOptions
from rerankd.core.rows import TokenIds
from rerankd.engines.any_encoder import AnyEncoder
from rerankd.engines.base import Engine, ListwiseEngine
from rerankd.engines.bidirectional_config import BidirectionalConfig
from rerankd.engines.deberta_config import DebertaConfig
from rerankd.engines.decoder import DecoderConfig
from rerankd.engines.dense import BehindLayer, PoolingMode
from rerankd.engines.encoder import EncoderConfig, FloatWeights, TableWeights
from rerankd.engines.gte_config import GteConfig
from rerankd.engines.jina_bert_config import JinaBertConfig
from rerankd.engines.listwise_config import ListwiseConfig
from rerankd.engines.modernbert_config import ModernBertConfig
from rerankd.engines.precisions import openvino_precision, torch_precision
from rerankd.engines.vision_config import VisionDecoderConfig

_OPENVINO_ONLY: Final = {"deberta-v2": "DeBERTa-v2", "gte": "GTE", "jina-bert": "JinaBERT"}


def encoder_engine(
    config: AnyEncoder,
    weights: TableWeights,
    options: LoadOptions,
) -> Engine:
    """The engine of a cross-encoder.

    Raises:
        StartError: what is chosen cannot run here; the message says what to do.
    """
    _refuse_unbuilt(options)
    if options.engine == "torch":
        if isinstance(config, DebertaConfig | GteConfig | JinaBertConfig):
            name = _OPENVINO_ONLY[config.architecture]
            raise StartError(
                f'engine = "torch" has no {name} yet; leave `engine` out to run it on OpenVINO.'
            )
        return _torch_engine(config, weights, options)
    precision = openvino_precision(options, config.architecture, config.architecture)
    from rerankd.engines.openvino.engine import OpenVinoEngine  # here: 0.4 s to import

    return OpenVinoEngine(config, weights, streams=options.streams, precision=precision)


def module_head_engine(
    config: EncoderConfig | ModernBertConfig | GteConfig,
    weights: FloatWeights,
    options: LoadOptions,
    *,
    pooling: Sequence[PoolingMode],
    layers: Sequence[BehindLayer],
) -> Engine:
    """The engine of a cross-encoder whose head is layers behind the pooled states.

    Args:
        config: sizes of the body.
        weights: its tensors, read once.
        options: the operator's choice.
        pooling: of a row's states to one vector.
        layers: behind it; the last gives the logits.

    Raises:
        StartError: what is chosen cannot run here; the message says what to do.
    """
    _refuse_unbuilt(options)
    if options.engine == "torch":
        raise StartError(
            'engine = "torch" has no cross-encoder of modules yet; leave `engine` out to run it '
            "on OpenVINO."
        )
    precision = openvino_precision(options, "modules", "a cross-encoder of modules")
    from rerankd.engines.openvino.module_head import ModuleHeadEngine  # here: 0.4 s to import

    return ModuleHeadEngine(
        config,
        weights,
        pooling=pooling,
        layers=layers,
        streams=options.streams,
        precision=precision,
    )


def bidirectional_engine(
    config: BidirectionalConfig, weights: FloatWeights, options: LoadOptions
) -> Engine:
    """The engine of a decoder's layers that are read as an encoder.

    Raises:
        StartError: what is chosen cannot run here; the message says what to do.
    """
    _refuse_unbuilt(options)
    if options.engine == "torch":
        raise StartError(
            'engine = "torch" has no bidirectional Llama yet; leave `engine` out to run it on '
            "OpenVINO."
        )
    precision = openvino_precision(options, config.architecture, "a bidirectional Llama")
    from rerankd.engines.openvino.engine import OpenVinoEngine  # here: 0.4 s to import

    return OpenVinoEngine(config, weights, streams=options.streams, precision=precision)


def decoder_engine(
    config: DecoderConfig, weights: TableWeights, options: LoadOptions, *, yes: int, no: int | None
) -> Engine:
    """The engine of a decoder; arguments as DecoderEngine, errors as above.

    Args:
        config: sizes.
        weights: tensors, read once.
        options: the operator's choice.
        yes: the row of the head that speaks for a document.
        no: the one whose logit is subtracted, if any.
    """
    _refuse_unbuilt(options)
    if options.engine == "torch":
        if config.architecture == "gemma":
            raise StartError(
                'engine = "torch" has no Gemma yet; leave `engine` out to run it on OpenVINO.'
            )
        return _torch_engine(config, weights, options, yes_no=(yes, no))
    precision = openvino_precision(options, config.architecture, f"a {config.architecture} decoder")
    if options.streams is not None:
        raise StartError(
            "streams is for cross-encoders with an encoder; leave it unset: a decoder runs one "
            "batch at once."
        )
    from rerankd.engines.openvino.decoder_engine import DecoderEngine  # here: 0.4 s to import

    return DecoderEngine(config, weights, yes=yes, no=no, precision=precision)


def listwise_engine(
    config: ListwiseConfig,
    weights: TableWeights,
    options: LoadOptions,
    *,
    mark: int,
    start: TokenIds,
) -> ListwiseEngine:
    """The engine of a listwise reranker; arguments as OpenVinoListwise, errors as above."""
    _refuse_unbuilt(options)
    refused = {
        f'engine = "{options.engine}"': options.engine != "openvino",
        "streams": options.streams is not None,
    }
    for setting, is_set in refused.items():
        if is_set:
            raise StartError(
                f"{setting} is not for a listwise model, which runs on OpenVINO, one prompt at "
                "once; leave it unset."
            )
    precision = openvino_precision(options, "listwise", "a listwise model")
    from rerankd.engines.openvino.listwise_engine import OpenVinoListwise  # here: 0.4 s to import

    return OpenVinoListwise(config, weights, mark=mark, start=start, precision=precision)


def vision_engine(
    config: VisionDecoderConfig,
    weights: TableWeights,
    options: LoadOptions,
    *,
    yes: int,
    no: int,
) -> Engine:
    """The engine of a vision-language model; arguments and errors as above.

    Only torch runs it, so torch is what it gets: nobody has to choose it.
    """
    chosen = replace(options, engine="torch")
    _refuse_unbuilt(chosen)
    return _torch_engine(config, weights, chosen, yes_no=(yes, no))


def _torch_engine(
    config: EncoderConfig | ModernBertConfig | DecoderConfig | VisionDecoderConfig,
    weights: TableWeights,
    options: LoadOptions,
    *,
    yes_no: tuple[int, int | None] | None = None,
) -> Engine:
    """The torch engine, which is an extra; errors as above."""
    try:
        from rerankd.engines.torch.engine import TorchEngine  # here: only if it is asked for
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise StartError(
            "This model's engine needs torch, which is not installed: pip install "
            "'rerankd[torch]' (https://pytorch.org/get-started/locally has the builds for other "
            "devices)."
        ) from error
    return TorchEngine(
        config,
        weights,
        device=options.device,
        precision=torch_precision(options),
        yes_no=yes_no,
    )


def _refuse_unbuilt(options: LoadOptions) -> None:
    """Refuse what would be ignored otherwise."""
    if options.engine == "torch":
        torch_precision(options)
        if options.streams is not None:
            raise StartError('streams is for engine = "openvino"; torch runs one batch at once.')
    elif options.device not in (None, "cpu"):
        raise StartError(
            'engine = "openvino" runs on the CPU; set engine = "torch" for another device.'
        )
