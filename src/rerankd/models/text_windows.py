"""Texts for an encoder that embeds them: one window each, behind a prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rerankd.core.embedding import EmbedRequest
from rerankd.core.meter import Meter
from rerankd.core.rows import PreparedTexts, SoleText
from rerankd.engines.token_vectors import Window
from rerankd.models.embedder import cut_texts_warning, prompt_of, text_limit, too_long_text
from rerankd.models.text_encoder import TextEncoder
from rerankd.models.text_parts import in_slices


@dataclass(frozen=True, slots=True, kw_only=True)
class TextWindows:
    """How one encoder is given texts."""

    model: str  # its name, for errors
    encoder: TextEncoder
    windows: Mapping[str, Window]  # by the name of the prompt that it begins with
    default: str  # name of the window where none is asked for; "" = `plain`
    plain: Window  # without a prompt
    dimensions: int

    def prepare(self, request: EmbedRequest, meter: Meter) -> PreparedTexts:
        """See models.embedder.Embedder."""
        names = {name: name for name in self.windows}
        window = self.windows.get(
            prompt_of(request, names, self.default or None, self.model), self.plain
        )
        around = window.tokens - window.pieces
        limit = text_limit(request, window.tokens, around)
        pieces = limit - around
        rows: list[SoleText] = []
        cut = 0
        enough = pieces if request.truncation else None
        for part in in_slices(request.texts):
            fields = [request.name(len(rows) + i) for i in range(len(part))]
            found = self.encoder.stream(part, fields, meter.check, enough=enough)
            for name, text in zip(fields, found, strict=True):
                is_cut = text.ids.size > pieces
                if is_cut and not request.truncation:
                    raise too_long_text(name, limit, self.model)
                cut += is_cut
                (ids,) = window.cut(text.ids[:pieces])
                meter.add(ids.size)
                rows.append(SoleText(ids, ids.size))
        return PreparedTexts(rows=tuple(rows), warnings=cut_texts_warning(cut, len(rows), limit))
