"""JSON lines of whole requests: each a body of POST /v1/rerank, with an id."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from rerankd.bulk.rows import InputPlace, InputRow, Kind, Name
from rerankd.bulk.text_lines import MOST_BYTES, TextLine, share_read, text_lines
from rerankd.bulk.wishes import Wishes
from rerankd.core.errors import InvalidRequest
from rerankd.core.request import Content, RerankRequest
from rerankd.dialects import superset
from rerankd.dialects.wire import Options, WireRequest

_PATH: Final = "/v1/rerank"
_ANY: Final = Options()


class _Named(msgspec.Struct):
    id: Name | None = None


@dataclass(frozen=True, slots=True)
class RequestLines:
    """A Source of JSON lines, plain or gzipped."""

    path: Path
    wishes: Wishes

    @property
    def kind(self) -> Kind:
        """Whole requests."""
        return "requests"

    def share(self, place: InputPlace) -> float | None:
        """See Source."""
        return share_read(self.path, place)

    def close(self) -> None:
        """Nothing is open between two rows."""

    def rows(self, start: InputPlace) -> Iterator[InputRow]:
        """See Source."""
        decode = msgspec.json.Decoder(_Named).decode
        for line in text_lines(self.path, start):
            yield self._row(line, decode)

    def _row(self, line: TextLine, decode: Callable[[bytes], _Named]) -> InputRow:
        name: Name = line.number
        try:
            check_length(line)
            own = decode(line.text).id
            name = name if own is None else own
            request = superset.parse(WireRequest(path=_PATH, body=line.text), _ANY)
            request = self.wishes.applied(request)
        except InvalidRequest as error:
            message = error.message
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            message = f"The line: {error}."
        else:
            return InputRow(
                line=line.number,
                id=name,
                after=line.after,
                request=request,
                names=_names(request),
            )
        return InputRow(line=line.number, id=name, after=line.after, error=message)


def check_length(line: TextLine) -> None:
    """Raises InvalidRequest: the line is longer than MOST_BYTES."""
    if line.is_too_long:
        raise InvalidRequest(f"The line has more than {MOST_BYTES} bytes.")


def _names(request: RerankRequest) -> Sequence[Name]:
    """The documents' own ids, if all have one."""
    found = [_name(document) for document in request.documents]
    return () if None in found else [name for name in found if name is not None]


def _name(document: Content) -> Name | None:
    own = None if document.echo is None else document.echo.get("id")
    return own if isinstance(own, str | int) and not isinstance(own, bool) else None
