"""Amounts of money: decimal text outside, whole 10^-9 of the currency inside, never a float."""

from __future__ import annotations

import re
from typing import Final

NANO: Final = 1_000_000_000
MOST_NANO: Final = NANO * NANO - 1  # 18 digits: nine before the point, nine after it
_DECIMAL = re.compile(r"([0-9]+)(?:\.([0-9]+))?")
# ISO 4217, what is money today.
_CODES: Final = """
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP
BYN BZD CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP
GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES
KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU
MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON
RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND
TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR
ZMW ZWG
"""
CURRENCIES: Final = frozenset(_CODES.split())


def nano(text: str) -> int:
    """Whole 10^-9 of a decimal number as "0.10".

    Raises:
        ValueError: it is none, is below zero, or has more than nine digits on a side of its point.
            The message begins with the text.
    """
    found = _DECIMAL.fullmatch(text)
    if found is None:
        raise ValueError(
            f'{text!r} is not an amount such as "0.10": digits, and a point if need be.'
        )
    whole, part = found[1].lstrip("0"), (found[2] or "").rstrip("0")
    if len(whole) > 9 or len(part) > 9:
        raise ValueError(f"{text!r} has more than nine digits before its point, or after it.")
    return int(whole or "0") * NANO + int(part.ljust(9, "0"))


def shown(amount: int) -> str:
    """An amount as `nano` reads it, without needless zeros; a debt has a minus."""
    whole, part = divmod(abs(amount), NANO)
    text = f"{whole}.{part:09d}".rstrip("0").rstrip(".")
    return f"-{text}" if amount < 0 else text
