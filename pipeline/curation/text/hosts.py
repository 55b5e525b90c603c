"""The host that an address on the web names, and the domain that its owner has registered.

In: what a row says of where it is from, and a host. Out: the host in small letters, and its registered domain: the part
under a suffix of the Public Suffix List under which anyone registers names, so `news.bbc.co.uk` is of `bbc.co.uk`. The
list is that of the package `publicsuffixlist`, its ICANN section: a hoster's customers are one domain, its own.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from importlib import metadata
from typing import Final
from urllib.parse import urlsplit

from pipeline.base.errors import CurationError

PACKAGE: Final = "publicsuffixlist"
_LONGEST: Final = 253
"""Characters of a name in the DNS (RFC 1035, section 2.3.4)."""


def host_of(address: object) -> str:
    """The host of a URL, with or without its scheme, in small letters; empty where the value names none."""
    if not isinstance(address, str):
        return ""
    text = address.strip()
    try:
        host = urlsplit(text if "://" in text else f"//{text.removeprefix('//')}").hostname or ""
        host.encode("utf-8")
    except ValueError:  # brackets that are no IPv6 address, a lone surrogate
        return ""
    host = host.strip(".")
    return host if len(host) <= _LONGEST and not any(char.isspace() for char in host) else ""


def registered_domains() -> Callable[[str], str]:
    """A function from a host to its registered domain; a host that has none (an IP address, a suffix) is its own.

    Raises CurationError where the package is not installed.
    """
    try:
        from publicsuffixlist import PublicSuffixList
    except ImportError:
        raise CurationError(
            "`domain_cap` by domain needs the Public Suffix List: pip install 'squeeze-gpt[domains]', or set `by: host`"
        ) from None
    suffixes = PublicSuffixList(only_icann=True)

    def domain_of(host: str) -> str:
        return host if _is_address(host) else suffixes.privatesuffix(host) or host

    return domain_of


def list_version() -> str:
    """The version of the list that is installed, which decides what a domain is; empty where none is."""
    try:
        return metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        return ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
