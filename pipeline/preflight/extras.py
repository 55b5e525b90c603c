"""Whether the Python packages are installed that only some profiles need: Squeeze's extras.

In: a flight. Out: a refusal for each package that an asset which is to be made would not find, with the setting that
asks for it and the command that installs it. Nothing is imported.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import NamedTuple

from pipeline.curation.text.settings import PersonalNumbers
from pipeline.evaluation.suites.fresh_text import FreshTextSuite
from pipeline.preflight.finding import Finding, only_if_made
from pipeline.preflight.flight import Flight


class _Need(NamedTuple):
    """A package that an asset needs."""

    asset: str
    """Its key."""
    setting: str
    """What of the profile asks for it."""
    module: str
    package: str
    """As pip calls it."""
    extra: str
    instead: str
    """What else to do."""


def extras(flight: Flight) -> Iterator[Finding]:
    """A refusal for each setting whose packages are missing; one `ok` where any is needed and none is missing."""
    needs = list(_needs(flight))
    missing = [need for need in needs if find_spec(need.module) is None]
    for need in missing:
        text = f"{need.setting} needs {need.package}, which is not installed: pip install 'squeeze-gpt[{need.extra}]'"
        yield only_if_made(Finding("packages", "refused", f"{text}, or {need.instead}"), need.asset, flight.may_reuse)
    if needs and not missing:
        names = ", ".join(dict.fromkeys(need.package for need in needs))
        yield Finding("packages", "ok", f"{names} can be imported")


def _needs(flight: Flight) -> Iterator[_Need]:
    profile = flight.profile
    for name in flight.made("documents"):
        numbers = profile.corpora[name].normalizing.mask_numbers
        yield from _of_numbers(f"documents/{name}", f"corpora.{name}.normalizing", numbers)
    selected = "selected" if profile.curation.passages else "corpus"
    for name in flight.made(selected):
        cap = profile.corpora[name].domain_cap
        if cap is not None and cap.by == "domain":
            setting = f"corpora.{name}.domain_cap"
            yield _Need(
                *(f"{selected}/{name}", setting, "publicsuffixlist", "publicsuffixlist", "domains"),
                instead="set its `by` to host",
            )
    for name in flight.made("eval"):
        suite = profile.evaluation.suites.get(name)
        for domain, read in suite.domains.items() if isinstance(suite, FreshTextSuite) else ():
            setting = f"evaluation.suites.{name}.domains.{domain}.normalizing"
            yield from _of_numbers(f"eval/{name}", setting, read.normalizing.mask_numbers)


def _of_numbers(asset: str, normalizing: str, numbers: PersonalNumbers | None) -> Iterator[_Need]:
    if numbers is None:
        return
    setting = f"{normalizing}.mask_numbers"
    instead = "leave it out"
    if numbers.phones:
        yield _Need(asset, setting, "phonenumbers", "phonenumbers", "personal", instead)
    if numbers.bank_accounts or numbers.payment_cards:
        yield _Need(asset, setting, "stdnum", "python-stdnum", "personal", instead)
