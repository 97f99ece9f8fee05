"""`rerankd store`: the store itself."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from rerankd.cli.stored import Config, Store, url_of
from rerankd.core.errors import StartError
from rerankd.store.database import StoreAway, open_database
from rerankd.store.migrate import backup as copy
from rerankd.store.migrate import migrate as bring_up
from rerankd.store.migrate import newest, revision
from rerankd.store.owner import store_id


def backup(to: Path, /, *, store: Store = None, config: Config = None) -> None:
    """Copy a store of SQLite to a file, while servers use it.

    Parameters
    ----------
    to
        The file.
    store
        URL of the store; default: [store] url of the settings.
    config
        TOML file, as for `rerankd serve`.
    """
    with closing(open_database(url_of(store, config))) as database:
        copy(database, to)
    print(f"{to}: written.")


def migrate(
    *,
    backed_up: Annotated[bool, Parameter(negative=())] = False,
    store: Store = None,
    config: Config = None,
) -> None:
    """Bring the tables to this version; a file of SQLite is copied before.

    Parameters
    ----------
    backed_up
        There is a backup of PostgreSQL.
    store
        URL of the store; default: [store] url of the settings.
    config
        TOML file, as for `rerankd serve`.
    """
    with closing(open_database(url_of(store, config))) as database:
        try:
            made = bring_up(database, backed_up=backed_up)
        except StoreAway as error:
            raise StartError(f"The store cannot be used now: {error}.") from None
    if made is not None:
        print(f"{made}: the backup.")
    print(f"{database.shown} has the tables of this version, {newest()}.")


def check(*, store: Store = None, config: Config = None) -> None:
    """Say which tables the store has, and whether it can be used; status 1 when not.

    Parameters
    ----------
    store
        URL of the store; default: [store] url of the settings.
    config
        TOML file, as for `rerankd serve`.
    """
    with closing(open_database(url_of(store, config))) as database:
        try:
            found = revision(database)
            if found != newest():
                raise StartError(
                    f"{database.shown} has {f'tables {found}' if found else 'no tables'}; this "
                    f"version has {newest()}: `rerankd store migrate`."
                )
            print(f"{database.shown}: store {store_id(database)}, tables {found}; good.")
        except StoreAway as error:
            raise StartError(f"The store cannot be used now: {error}.") from None
