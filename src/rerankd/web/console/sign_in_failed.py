"""Why a sign-in by the issuer came to nothing. No text holds a code, a token or a secret."""

from __future__ import annotations

from typing import Final

AWAY: Final = "The issuer does not answer as it should. Try again, or sign in with a key."


class SignInFailed(Exception):
    """Nobody is signed in."""

    status = 401
    counts = False  # as an unknown key of the network that it came from
    is_told = True  # the operator, in the log
    is_final = False  # for whom the issuer knows: it must ask who else it may be

    def __init__(self, told: str, reason: str) -> None:
        """Say it.

        Args:
            told: to who signs in.
            reason: to the operator, in the log.
        """
        super().__init__(told)
        self.told = told
        self.reason = reason


class NotBegun(SignInFailed):
    """It was not begun in this browser, or is over."""

    status = 400
    is_told = False  # anybody can open that page without having been anywhere


class SignInRefused(SignInFailed):
    """The issuer did not sign anybody in, or its token is not good."""

    counts = True


class NoRole(SignInFailed):
    """The issuer knows him, and nothing here is for him."""

    status = 403
    counts = True
    is_final = True


class IssuerAway(SignInFailed):
    """The issuer cannot be asked, or its answer not be used."""

    status = 503
