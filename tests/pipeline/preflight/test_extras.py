"""Packages that only some profiles need are asked for before the first asset, each with the setting and the command."""

import pytest

from pipeline.assets.every import every_asset
from pipeline.preflight.extras import extras
from pipeline.preflight.finding import refusal
from pipeline.preflight.flight import flight_of
from pipeline.profile.profile import load_profile
from pipeline.store import Store

URLS = "sources: [{files: 'texts/*.txt', format: whole, url_field: url}]"
CAP = "domain_cap: {most_documents: 3%s}"
NEEDS = {
    "a cap by domain": (
        f"corpora: {{mine: {{{URLS}, {CAP % ''}}}}}",
        "publicsuffixlist",
        "corpora.mine.domain_cap needs publicsuffixlist, which is not installed: pip install 'squeeze-gpt[domains]', "
        "or set its `by` to host",
    ),
    "a cap by domain before passages are cut": (
        f"corpora: {{mine: {{{URLS}, {CAP % ''}}}}}\ncuration: {{passages: {{}}}}",
        "publicsuffixlist",
        "corpora.mine.domain_cap needs publicsuffixlist",
    ),
    "phones": (
        "corpora: {mine: {normalizing: {mask_numbers: {phones: [DE]}}}}",
        "phonenumbers",
        "corpora.mine.normalizing.mask_numbers needs phonenumbers, which is not installed: pip install "
        "'squeeze-gpt[personal]', or leave it out",
    ),
    "accounts": (
        "corpora: {mine: {normalizing: {mask_numbers: {payment_cards: false}}}}",
        "stdnum",
        "corpora.mine.normalizing.mask_numbers needs python-stdnum, which is not installed",
    ),
    "phones in text to score": (
        "evaluation: {suites: {new: {kind: fresh_text, domains: {news: {normalizing: {mask_numbers: {phones: [DE]}}, "
        "sources: [{files: 'texts/*.txt', format: whole}]}}}}}",
        "phonenumbers",
        "evaluation.suites.new.domains.news.normalizing.mask_numbers needs phonenumbers",
    ),
}
NO_NEEDS = {
    "a cap by host": f"corpora: {{mine: {{{URLS}, {CAP % ', by: host'}}}}}",
    "no phones": "corpora: {mine: {normalizing: {mask_phones: true}}}",
    "accounts and cards left out": "corpora: {mine: {normalizing: {mask_numbers: {bank_accounts: false, payment_cards: "
    "false}}}}",
}


@pytest.fixture
def looked_at(own, tmp_path, monkeypatch):
    """What is found of a profile where one package is missing."""

    def look(text, missing):
        monkeypatch.setattr("pipeline.preflight.extras.find_spec", lambda name: None if name == missing else object())
        profile = load_profile(str(own(text + "\n")))
        return list(extras(flight_of(profile, Store(tmp_path / "store", profile.name), every_asset(profile), {})))

    return look


@pytest.mark.parametrize("what", NEEDS)
def test_a_package_that_is_missing_is_named_with_its_setting_and_the_command(what, looked_at):
    text, missing, said = NEEDS[what]
    assert str(refusal(looked_at(text, missing))).startswith(f"preflight: {said}")


@pytest.mark.parametrize("what", NEEDS)
def test_packages_that_are_there_are_no_more_than_a_word(what, looked_at):
    (finding,) = looked_at(NEEDS[what][0], missing="another")
    assert finding.verdict == "ok"
    assert "can be imported" in finding.text


@pytest.mark.parametrize("what", NO_NEEDS)
def test_a_profile_that_needs_none_is_not_asked(what, looked_at):
    assert looked_at(NO_NEEDS[what], missing="publicsuffixlist") == []


def test_preflight_asks_for_them(own, findings, monkeypatch):
    monkeypatch.setattr("pipeline.preflight.extras.find_spec", lambda _: None)
    said = [finding.text for finding in findings(own(NEEDS["phones"][0] + "\n")) if finding.check == "packages"]
    assert len(said) == 2
