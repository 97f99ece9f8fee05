"""A model that ships inside, loaded on a thread while the rest of a server is imported.

Most of its load is OpenVINO's: it compiles for 0.15 s and lets Python's threads run meanwhile.
"""

from __future__ import annotations

from concurrent.futures import Future
from importlib import import_module
from threading import Thread

from rerankd.models.load import Loaded, Spec, load


class Ahead:
    """`load`, begun for one model before it is asked for."""

    def __init__(self, spec: Spec) -> None:
        """Begin. What the model needs is imported here: threads that import may meet halfway.

        Args:
            spec: as it will be asked for, to the last option.
        """
        self._begun: tuple[Spec, Future[Loaded]] | None = (spec, Future())
        import_module("rerankd.models.mini")
        import_module("rerankd.engines.openvino.token_encoder")
        Thread(target=_run, args=self._begun, name="load").start()

    def load(self, spec: Spec) -> Loaded:
        """As models.load.load; the model that was begun is waited for, and given once."""
        begun = self._begun
        if begun is None or begun[0] != spec:
            return load(spec)
        self._begun = None
        return begun[1].result()


def _run(spec: Spec, future: Future[Loaded]) -> None:
    try:
        future.set_result(load(spec))
    except BaseException as error:  # noqa: BLE001 - raised where the model is asked for
        future.set_exception(error)
