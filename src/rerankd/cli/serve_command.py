"""`rerankd serve` with its flags, for the parser of commands."""

from __future__ import annotations

from rerankd.cli.flags import Read, flag_help
from rerankd.cli.parameters import reads_settings
from rerankd.cli.serve import serve as run


@reads_settings(
    config="TOML file, see `rerankd config`. SIGHUP reads it again: keys and models change.",
    says=flag_help,
)
def serve(read: Read) -> None:
    """Serve POST /v1/rerank until SIGTERM or Ctrl-C."""
    run(read)
