"""The command line. A server that is started plainly needs no parser of commands: 50 ms."""

from __future__ import annotations

import os
import sys

from rerankd.cli.lean import collect_rarely
from rerankd.core.errors import InvalidRequest, StartError


def main() -> None:
    """Run a command; what the operator or the input got wrong is one sentence and status 1."""
    collect_rarely()
    try:
        _run(sys.argv[1:])
    except (StartError, InvalidRequest) as error:
        print(f"rerankd: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)  # as a shell counts it: 128 + SIGINT
    except BrokenPipeError:  # `rerankd rank … | head`: the reader has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(words: list[str]) -> None:
    if words[:1] == ["serve"]:
        from rerankd.cli.plain import plainly_given

        given = plainly_given(words[1:])
        if given is not None:
            from rerankd.cli.flags import effective
            from rerankd.cli.serve import serve

            serve(lambda: effective(**given))
            return
    from rerankd.cli.commands import app

    app(words)
