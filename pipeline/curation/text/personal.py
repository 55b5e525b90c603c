"""Masking of what points at a person: e-mail and public IP addresses, as FineWeb does (section 3.6), and phone numbers.

In: text. Out: the text with constants in place of the addresses. The addresses are those that datatrove's patterns
find. Its pattern for mail tries the name anew from every character before an `@`, which takes minutes where a base64
image and an address stand in one document; here the name is read backwards from its `@`. Phone numbers are what is
written like one: with a country's prefix, or in the North American form.
"""

from __future__ import annotations

import ipaddress
import re
import string
from collections.abc import Iterator

_NAME = string.ascii_letters + string.digits + "!#$%&'*+/=?^_`{|}~-."
_NAME_START = re.compile(r"\b[^.]")
_DOMAIN = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
    r"|\[(?:(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)\.){3}(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)\]"
)
_MAYBE_IP = re.compile(r"\.\d{1,3}\.\d{1,3}\.\d")
"""Begins with a character that is found faster than a class of them."""
_IP = re.compile(r"(?<![\w.])(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\.){3}(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?![\w.])")
_MAYBE_PHONE = re.compile(r"\+\d|\d{3}[)./ -]{1,2}\d{3}")
_PHONE = re.compile(
    r"(?<![\w+./-])(?:\+(?=[1-9](?:[ .()-]{0,2}\d){6})\d{1,3}(?:[ .-]?\(\d{1,4}\))?(?:[ .-]?\d{1,4}){2,5}"
    r"|(?:1[ .-])?(?:\([2-9]\d\d\) ?|[2-9]\d\d([.-]))[2-9]\d\d(?(1)\1|[ .-])\d{4})(?![\w-]|\.\d)"
)
_MASKED_EMAIL = "email@example.com"
_MASKED_IP = "22.214.171.124"
_MASKED_PHONE = "+1-202-555-0100"
MASKS = {
    "e-mail addresses": _MASKED_EMAIL,
    "IP addresses": _MASKED_IP,
    "phone numbers": _MASKED_PHONE,
    "bank accounts": "GB33 BUKB 2020 1555 5555 55",
    "payment cards": "4111 1111 1111 1111",
}
"""By category, what stands in the text in place of one."""
_MASKS = {category: mask.encode() for category, mask in MASKS.items()}


def mask_personal(text: str) -> str:
    """Replace e-mail addresses and public IPv4 addresses by constants."""
    if "@" in text:
        text = _mask_emails(text)
    return _IP.sub(_mask_public_ip, text) if _MAYBE_IP.search(text) is not None else text


def mask_phones(text: str) -> str:
    """Replace phone numbers by a constant: with a `+` and a country's prefix, or as (202) 555-0100, 202-555-0100 and
    202.555.0100 are written. Numbers without prefix in other countries' forms are told from other numbers by nothing,
    and stay."""
    return _PHONE.sub(_MASKED_PHONE, text) if _MAYBE_PHONE.search(text) is not None else text


def count_masks(text: bytes) -> dict[str, int]:
    """How often a text in UTF-8 holds the mask of each category that it holds at all."""
    counts = {category: text.count(mask) for category, mask in _MASKS.items()}
    return {category: count for category, count in counts.items() if count}


def _mask_emails(text: str) -> str:
    pieces: list[str] = []
    done = 0
    for start, end in _emails(text):
        pieces += (text[done:start], _MASKED_EMAIL)
        done = end
    return "".join(pieces) + text[done:] if pieces else text


def _emails(text: str) -> Iterator[tuple[int, int]]:
    """Where addresses start and end. Between two `@` every character is looked at a fixed number of times."""
    before = 0
    at = text.find("@")
    while at >= 0:
        end = at + 1
        start = _name_start(text, before, at)
        if start is not None and (domain := _DOMAIN.match(text, at + 1)) is not None:
            end = domain.end()
            yield start, end
        before = end
        at = text.find("@", end)


def _name_start(text: str, before: int, at: int) -> int | None:
    """Where the name that ends before the `@` starts: words with single dots between them, at a word's boundary."""
    ahead = text[before:at]
    name = ahead[len(ahead.rstrip(_NAME)) :]
    name = name[name.rfind("..") + 1 :].lstrip(".")
    if not name or name.endswith("."):
        return None
    start = _NAME_START.search(text, at - len(name), at)
    return start.start() if start is not None else None


def _mask_public_ip(match: re.Match[str]) -> str:
    return _MASKED_IP if ipaddress.ip_address(match[0]).is_global else match[0]
