"""Where people sign in, and where that may lead. Pure."""

from __future__ import annotations

from typing import Final

PREFIX: Final = "/ui"
SIGN_IN: Final = PREFIX + "/sign-in"
OIDC: Final = SIGN_IN + "/oidc"
OIDC_BACK: Final = OIDC + "/back"
OIDC_COOKIE: Final = "rerankd_oidc"
OIDC_SECONDS: Final = 600  # from the way there to the way back


def local(wanted: str | None) -> str:
    """A page of the console, whatever was asked for: nobody is sent elsewhere."""
    wanted = wanted or PREFIX
    is_local = wanted == PREFIX or wanted.startswith((PREFIX + "/", PREFIX + "?"))
    return wanted if is_local and "\\" not in wanted else PREFIX
