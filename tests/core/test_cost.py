"""One record of what a request took: stages add up, whatever it counts."""

from __future__ import annotations

import msgspec

from rerankd.core.cost import Cost

FIRST = Cost(*range(1, 1 + len(Cost.__struct_fields__)))


def test_stages_add_up_in_every_field() -> None:
    both = FIRST + FIRST
    assert msgspec.structs.astuple(both) == tuple(2 * v for v in msgspec.structs.astuple(FIRST))


def test_nothing_adds_nothing() -> None:
    assert FIRST + Cost() == Cost() + FIRST == FIRST
    assert set(msgspec.structs.astuple(Cost())) == {0}


def test_it_crosses_a_process_as_plain_data() -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(FIRST), type=Cost) == FIRST


def test_what_nobody_told_of_one_stage_is_unknown_of_the_whole() -> None:
    both = FIRST + Cost(input_tokens=None)
    assert both.input_tokens is None
    assert both.pairs == FIRST.pairs
