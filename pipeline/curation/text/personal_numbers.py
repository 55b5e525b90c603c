"""Masking of numbers that point at a person and are told by their digits: phones as a country writes them, bank
accounts, payment cards.

In: text. Out: the text with constants in place of the numbers. What is a phone number in which country the package
`phonenumbers` knows (Google's libphonenumber); the check digits of accounts (IBAN, ISO 13616) and cards (Luhn, ISO/IEC
7812-1) `python-stdnum` does. Both are in the extra `personal`.
"""

from __future__ import annotations

import re
from types import ModuleType
from typing import Final

from pipeline.base.errors import CurationError
from pipeline.curation.text.personal import MASKS
from pipeline.curation.text.settings import PersonalNumbers

_MAYBE: Final = re.compile(r"\d[^\n]{3,}\d")
_ACCOUNT: Final = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{1,4}){3,8}(?!\w)")
_CARD: Final = re.compile(
    r"(?<![\w.,-])(?:[2456]\d{3}([ -]?)\d{4}\1\d{4}\1\d{4}|3[47]\d{2}([ -]?)\d{6}\2\d{5})(?![\w-]|\.\d)"
)
_MOST_TRIES: Final = 1 << 31
"""Places of a text that are looked at; by default the matcher gives up after 65,535 that are no number."""


def mask_numbers(text: str, settings: PersonalNumbers) -> str:
    """Replace the numbers that the settings name by constants.

    Raises CurationError where a package is missing, or a country is none that `phonenumbers` knows.
    """
    if _MAYBE.search(text) is None:
        return text
    if settings.bank_accounts:
        text = _ACCOUNT.sub(_account, text)
    if settings.payment_cards:
        text = _CARD.sub(_card, text)
    for country in settings.phones:
        text = _mask_phones(text, country)
    return text


def _account(match: re.Match[str]) -> str:
    """The mask, and what stood behind the account in capital letters; accounts end where a group of theirs does."""
    iban = _package("stdnum.iban")
    found = match[0]
    ends = [len(found), *(place for place in range(len(found) - 1, 0, -1) if found[place] == " ")]
    for end in ends:
        if iban.is_valid(found[:end]):
            return MASKS["bank accounts"] + found[end:]
    return found


def _card(match: re.Match[str]) -> str:
    digits = re.sub(r"\D", "", match[0])
    return MASKS["payment cards"] if _package("stdnum.luhn").is_valid(digits) else match[0]


def _mask_phones(text: str, country: str) -> str:
    phones = _package("phonenumbers")
    if country not in phones.SUPPORTED_REGIONS:
        raise CurationError(f"mask_numbers.phones: {country!r} is no country whose phone numbers are known, such as DE")
    pieces: list[str] = []
    done = 0
    for found in phones.PhoneNumberMatcher(text, country, max_tries=_MOST_TRIES):
        pieces += (text[done : found.start], MASKS["phone numbers"])
        done = found.end
    return "".join(pieces) + text[done:] if pieces else text


def _package(name: str) -> ModuleType:
    """A module of the extra. Raises CurationError where it is not installed."""
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError:
        raise CurationError("`mask_numbers` needs two packages: pip install 'squeeze-gpt[personal]'") from None
