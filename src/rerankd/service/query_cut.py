"""A query that is too long for the model, cut where the request asks for that. Pure."""

from __future__ import annotations

from dataclasses import replace

from rerankd.core.errors import QueryTooLong
from rerankd.core.meter import Meter
from rerankd.core.request import RerankRequest
from rerankd.core.rows import Prepared
from rerankd.models.base import AnyModel


def prepared_of(model: AnyModel, request: RerankRequest, meter: Meter) -> Prepared:
    """The request's rows; with truncate_query the end of a query that is too long is left out.

    The model counts the query before it looks at a document, so that a try that is too long costs
    little. What is kept is in proportion to the limit, and less by a tenth more each further try.

    Raises:
        InvalidRequest: as Model.prepare; QueryTooLong when nothing of the query fits.
    """
    whole, tries = request.query.value, 0
    while True:
        try:
            prepared = model.prepare(request, meter)
        except QueryTooLong as error:
            text, is_text = request.query.value, request.query.modality == "text"
            kept = text[: int(len(text) * error.limit / error.tokens * 0.9**tries)]
            if not (request.truncate_query and is_text and kept and kept != text):
                raise
            request = replace(request, query=replace(request.query, value=kept))
            tries += 1
        else:
            break
    if not tries:
        return prepared
    said = (
        f"query: cut to its first {len(request.query.value)} of {len(whole)} characters: "
        f"{model.card.name} takes no more."
    )
    return replace(prepared, warnings=(said, *prepared.warnings))
