"""All commands with their help: each parses, calls one function and prints."""

from __future__ import annotations

from cyclopts import App

from rerankd import __version__

app = App(
    name="rerankd",
    help="Rerank documents by relevance to a query: a server, a library and a command.",
    version=__version__,
)
# Each is imported when it is run; its help is here so that `rerankd --help` imports none.
app.command(
    "rerankd.cli.serve_command:serve", help="Serve POST /v1/rerank until SIGTERM or Ctrl-C."
)
app.command("rerankd.cli.rank:rank", help="Rank the lines of a file by relevance to a query.")
app.command(
    "rerankd.cli.bulk:bulk",
    help="Score a large file into a folder; run again, it goes on where it was.\n\n"
    "Status 3 when some rows failed (errors.jsonl); 130 when it was interrupted.",
)
app.command(
    "rerankd.cli.models:models",
    help="List the catalog: what can be served by name, how large, how fast here, how good.",
)
app.command(
    "rerankd.cli.models:pull", help="Download a model's weights into the local Hugging Face cache."
)
app.command(
    "rerankd.cli.doctor:doctor",
    help="Load a model as the server would and check its scores; "
    "status 1 when it must not be served.",
)
app.command(
    "rerankd.cli.bench:bench",
    help="Measure a model on this machine: speed, latency, and how far other ways to run it agree.",
)
app.command(
    "rerankd.cli.eval:evaluate",
    name="eval",
    help="Measure ranking quality: nDCG, MRR, MAP and recall, with intervals and paired tests.\n\n"
    "Needs the extra: pip install 'rerankd[eval]'.",
)
app.command(
    "rerankd.cli.calibrate:calibrate",
    help="Find a floor for relevance_score: from which on a document is worth keeping.\n\n"
    "Status 3 when a model has none, for its scores part relevant from other documents badly.",
)
app.command(
    "rerankd.cli.config:config",
    help="Show the settings in force and where each one comes from. Keys are never shown.\n\n"
    "Then what running servers of this user have otherwise: a change needs SIGHUP or a restart. "
    "With --check only a file is read: status 0 when a server would take it, else 1 and why. "
    "With --without-keys too, variables and files of upstreams' keys that are not here are "
    "warnings, and the status is 3 when nothing else is wrong.",
)
app.command(
    "rerankd.cli.top:top",
    help="Show how servers do now, from their /metrics; Ctrl-C ends it.\n\n"
    "With --once: status 1 when a server did not answer.",
)
upstreams = App(name="upstream", help="What requests can be sent on to: providers, other servers.")
upstreams.command(
    "rerankd.cli.upstream:dialects", help="List the dialects that an upstream can speak."
)
upstreams.command(
    "rerankd.cli.upstream:listed",
    name="list",
    help="List the upstreams of the settings, and how they do in running servers of this user.",
)
upstreams.command(
    "rerankd.cli.upstream:tried",
    name="test",
    help="Ask an upstream for pairs that ship with rerankd: scores, tokens, time, dropped fields."
    "\n\nWhoever shares a space with it in a route is asked as well. Status 1 when it did not "
    "answer every query, or its scores are further than the tolerance from those of the local "
    "model, of who shares its space, or of the last test.",
)
upstreams.command(
    "rerankd.cli.imports:upstreams",
    name="import",
    help="Print [upstream] and [route] tables for what new-api or LiteLLM sends requests on to.",
)
app.command(upstreams)
keys = App(name="keys", help="Keys of the store: who may call, for what, and how much.")
keys.command(
    "rerankd.cli.keys:create",
    help="Make a key and print it, this once: only its SHA-256 is kept.",
)
keys.command(
    "rerankd.cli.keys:listed",
    name="list",
    help="List keys of the store, and those of the settings, which only their file changes.",
)
keys.command("rerankd.cli.keys:show", help="Show a key by name or public id.")
keys.command(
    "rerankd.cli.keys:edit",
    help='Change what is given; the rest stays. "none" takes a limit away.',
)
keys.command(
    "rerankd.cli.keys:rotate",
    help="Make another key in its place and print it, this once.",
)
keys.command(
    "rerankd.cli.keys:revoke",
    help="Refuse a key from now on, for ever; running servers see it within two seconds.",
)
keys.command(
    "rerankd.cli.imports:keys",
    name="import",
    help="Take over keys that exist already, so that callers keep theirs. Only hashes are kept.\n\n"
    "JSON, JSON by line, or CSV. What is there already is left as it is, so it can be "
    "repeated.",
)
app.command(keys)
teams = App(name="teams", help="Teams: keys that share limits.")
teams.command(
    "rerankd.cli.teams:create",
    help="Make a team. Its limits hold for its keys together, beside their own.",
)
teams.command("rerankd.cli.teams:listed", name="list", help="List the teams of the store.")
teams.command(
    "rerankd.cli.teams:show",
    help="Show a team, and how many keys it has.",
)
teams.command(
    "rerankd.cli.teams:edit",
    help='Change what is given; the rest stays. "none" takes a limit away.',
)
teams.command(
    "rerankd.cli.teams:archive",
    help="Refuse all keys of a team from now on; what they used stays in the ledger.",
)
app.command(teams)
prices = App(name="prices", help="What callers pay, and what upstreams take: a history.")
prices.command(
    "rerankd.cli.prices:listed",
    name="list",
    help="List prices and costs, with those to come and those that others have followed.",
)
prices.command(
    "rerankd.cli.prices:add",
    help="Add a price, which follows those that there are: none is ever changed.",
)
app.command(prices)
budgets = App(name="budgets", help="How much keys, teams and all together may use.")
budgets.command(
    "rerankd.cli.budgets:listed",
    name="list",
    help="List budgets and prepaid balances, with what the ledger has spent of them in this "
    "window.\n\n"
    "Requests that a running server has not brought into the store yet, a second's worth, "
    "are not in it.",
)
budgets.command(
    "rerankd.cli.budgets:assigned",
    name="set",
    help="Give a key, a team or all together a budget; one in its unit and window gets this "
    "amount.",
)
budgets.command("rerankd.cli.budgets:end", help="End a budget: nobody is refused by it any more.")
budgets.command(
    "rerankd.cli.budgets:top_up",
    name="top-up",
    help="Pay money in: with the first payment the key or team has a balance and can spend no "
    "more.",
)
app.command(budgets)
app.command(
    "rerankd.cli.usage:app",
    name="usage",
    help="Show what was used: sums, or with --rows every request.",
)
store = App(name="store", help="The store: backup, tables.")
store.command(
    "rerankd.cli.store:backup",
    help="Copy a store of SQLite to a file, while servers use it.",
)
store.command(
    "rerankd.cli.store:migrate",
    help="Bring the tables to this version; a file of SQLite is copied before.",
)
store.command(
    "rerankd.cli.store:check",
    help="Say which tables the store has, and whether it can be used; status 1 when not.",
)
app.command(store)
ray = App(name="ray", help="Replicas on a cluster of Ray, by Ray Serve. Needs no Ray here.")
ray.command(
    "rerankd.cli.ray:deploy",
    help="Have Serve run replicas, or change them without a failed request.\n\n"
    "The cluster's nodes need the extra: pip install 'rerankd[ray]'.",
)
ray.command("rerankd.cli.ray:status", help="Show the replicas; status 1 unless all serve.")
app.command(ray)
