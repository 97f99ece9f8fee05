"""The command line: each command parses, calls one function and prints."""

from __future__ import annotations

import os
import sys

from cyclopts import App

from rerankd import __version__
from rerankd.core.errors import InvalidRequest, StartError

app = App(
    name="rerankd",
    help="Rerank documents by relevance to a query: a server, a library and a command.",
    version=__version__,
)
app.command("rerankd.cli.serve:serve")
app.command("rerankd.cli.rank:rank")
app.command("rerankd.cli.models:models")
app.command("rerankd.cli.models:pull")
app.command("rerankd.cli.doctor:doctor")
app.command("rerankd.cli.bench:bench")
app.command("rerankd.cli.eval:evaluate", name="eval")
app.command("rerankd.cli.config:config")


def main() -> None:
    """Run a command; what the operator or the input got wrong is one sentence and status 1."""
    try:
        app()
    except (StartError, InvalidRequest) as error:
        print(f"rerankd: {error}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:  # `rerankd rank … | head`: the reader has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
