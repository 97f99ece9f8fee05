"""`rerankd bulk`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from rerankd.bulk.inputs import Input
from rerankd.cli.bulk_run import BulkCommand

InputFile = Annotated[
    Path,
    Parameter(
        help='JSON lines of requests {"id": …, "query": …, "documents": […]}, or of pairs '
        '{"id": …, "query": …, "document": …}, or tab-separated pairs (.tsv); gzipped ones end '
        "in .gz. Or Parquet of either, a TREC run, or a folder with a test collection."
    ),
]
Out = Annotated[Path, Parameter(help="Folder for part-*.jsonl, errors.jsonl and manifest.json.")]
ModelName = Annotated[
    str | None,
    Parameter(
        help="Catalog name or checkpoint folder, with settings if need be: NAME,precision=int8. "
        "Default: rerankd-multi where it is installed, else rerankd-mini."
    ),
]
ColumnNames = Annotated[
    list[str] | None,
    Parameter(
        negative=(),
        help="Which keys or columns of pairs hold what: id=…, query=…, document=…. Repeatable.",
    ),
]
Topics = Annotated[
    Path | None,
    Parameter(help="IN is a TREC run: its queries, JSON lines {id, text} or a table (.tsv)."),
]
Documents = Annotated[
    Path | None, Parameter(help="IN is a TREC run: its documents, in the same forms.")
]
TopN = Annotated[
    int | None,
    Parameter(
        name=["--top-n", "-n"],
        help="How many documents of each request are written; default all.",
    ),
]
Instruction = Annotated[
    str | None, Parameter(help="For models with a place for one; for every row.")
]
RawScores = Annotated[bool, Parameter(negative=(), help="Write logits instead of scores.")]
Sample = Annotated[
    float | None,
    Parameter(
        help="Score only this share of the rows, spread over the input: 0.01 is one of a hundred."
    ),
]
KeepGoing = Annotated[
    bool,
    Parameter(negative=(), help="Go on when more than a hundredth of the first 1000 rows fail."),
]
Restart = Annotated[
    bool,
    Parameter(
        negative=(), help="Begin again, and remove what an earlier job wrote into the folder."
    ),
]
Server = Annotated[
    str | None, Parameter(help="Ask a server at this URL, which has a model, instead of our own.")
]
KeyVariable = Annotated[
    str | None, Parameter(name="--key-env", help="Variable with the key for --server.")
]
Route = Annotated[
    str | None, Parameter(help="Ask this routed name of the settings: its upstreams and models.")
]
Config = Annotated[
    Path | None, Parameter(help="TOML file, as for `rerankd serve`: routes, upstreams, prices.")
]
Workers = Annotated[
    int | None, Parameter(help="Score in so many processes, as `rerankd serve --workers`.")
]
InFlight = Annotated[int, Parameter(help="Requests at once, with --server, --route and --workers.")]
Price = Annotated[
    str | None,
    Parameter(help="Price of a million input tokens; default: the settings' for the model."),
]
MaxCost = Annotated[
    str | None, Parameter(help="Stop before more than this is spent, by the price.")
]
DryRun = Annotated[
    bool,
    Parameter(
        negative=(),
        help="Write nothing: say how many rows, tokens, how long, at what price. A sample is "
        "scored for about 10 s, but not by a server or a route.",
    ),
]


def bulk(  # noqa: PLR0913 - a parameter is a flag
    input: InputFile,
    out: Out,
    /,
    *,
    model: ModelName = None,
    columns: ColumnNames = None,
    topics: Topics = None,
    documents: Documents = None,
    top_n: TopN = None,
    instruction: Instruction = None,
    raw_scores: RawScores = False,
    server: Server = None,
    key_env: KeyVariable = None,
    route: Route = None,
    workers: Workers = None,
    config: Config = None,
    in_flight: InFlight = 8,
    sample: Sample = None,
    price: Price = None,
    max_cost: MaxCost = None,
    dry_run: DryRun = False,
    keep_going: KeepGoing = False,
    restart: Restart = False,
) -> None:
    """Score a large file into a folder; run again, it goes on where it was.

    Status 3 when some rows failed (errors.jsonl); 130 when it was interrupted.
    """
    command = BulkCommand(
        input=Input(path=input, columns=tuple(columns or ()), topics=topics, documents=documents),
        out=out,
        model=model,
        top_n=top_n,
        instruction=instruction,
        raw_scores=raw_scores,
        server=server,
        key_env=key_env,
        route=route,
        workers=workers,
        config=config,
        in_flight=in_flight,
        sample=sample,
        price=price,
        max_cost=max_cost,
        keep_going=keep_going,
        restart=restart,
    )
    sys.exit(command.tried() if dry_run else command.run())
