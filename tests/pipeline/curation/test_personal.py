"""What is masked: the addresses that datatrove's own patterns find, and no others."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.base.errors import CurationError
from pipeline.base.settings import identity_of
from pipeline.curation.text.normalizing import normalize
from pipeline.curation.text.personal import MASKS, count_masks, mask_personal, mask_phones
from pipeline.curation.text.personal_numbers import mask_numbers
from pipeline.curation.text.settings import Normalizing, PersonalNumbers


def test_mail_and_public_ip_addresses_are_masked() -> None:
    assert (
        mask_personal("write to jane.doe@mail.example.org or 8.8.8.8") == "write to email@example.com or 22.214.171.124"
    )
    assert (
        mask_personal("the router at 192.168.0.1, version 1.2.3.4.5") == "the router at 192.168.0.1, version 1.2.3.4.5"
    )


@pytest.mark.parametrize(
    "number",
    [
        *("+44 20 7946 0958", "+1-202-555-0147", "+49 (0) 30 901820", "+4930901820", "+81 3 1234 5678"),
        *("(202) 555-0147", "202-555-0147", "202.555.0147", "1-202-555-0147", "(202)555-0147"),
    ],
)
def test_phone_numbers_are_masked(number: str) -> None:
    assert mask_phones(f"call {number}, or write") == f"call {MASKS['phone numbers']}, or write"
    assert mask_phones(number) == MASKS["phone numbers"]


@pytest.mark.parametrize(
    "text",
    [
        *("in 1914-1918 and 2020-2024", "ISBN 978-3-16-148410-0", "pi is 3.14159265358979", "on 2024-05-17 at 12.30"),
        *("3+4 = 7, x+12 345", "192.168.0.1", "10,000-20,000", "202-555-01470", "a1-202-555-0147", "202-555.0147"),
    ],
)
def test_other_numbers_stay(text: str) -> None:
    assert mask_phones(text) == text


def test_masks_are_counted_by_category() -> None:
    text = mask_phones(mask_personal("a@b.example, c@d.example, 8.8.8.8 and +44 20 7946 0958"))
    assert count_masks(text.encode()) == {"e-mail addresses": 2, "IP addresses": 1, "phone numbers": 1}
    assert count_masks(b"nothing") == {}


PIECES = st.sampled_from(["a", "b.c", ".", "..", "@", "-", "!", "é", " ", "[1.2.3.4]", "_", "\n"])


@settings(max_examples=400)
@given(st.lists(PIECES, max_size=16).map("".join))
def test_addresses_are_those_of_datatrove(text: str) -> None:
    from datatrove.pipeline.formatters.pii import PIIFormatter

    formatter = PIIFormatter(email_replacement="email@example.com", ip_replacement="22.214.171.124")
    assert mask_personal(text) == formatter.format(text)


ALL = PersonalNumbers(phones=("DE", "GB", "FR"))


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Konto DE89 3704 0044 0532 0130 00, bitte", "Konto {bank accounts}, bitte"),
        ("to GB82WEST12345698765432 TODAY", "to {bank accounts} TODAY"),
        ("to GB82 WEST 1234 5698 7654 32 BY NOON", "to {bank accounts} BY NOON"),
        ("card 5555 5555 5555 4444.", "card {payment cards}."),
        ("card 378282246310005", "card {payment cards}"),
        ("Tel. 030 901820 oder (089) 233-00", "Tel. {phone numbers} oder {phone numbers}"),
        ("ring 020 7946 0958 now", "ring {phone numbers} now"),
        ("au 01 42 68 53 00", "au {phone numbers}"),
    ],
)
def test_numbers_that_a_country_a_bank_or_a_card_has_are_masked(text: str, masked: str) -> None:
    pytest.importorskip("phonenumbers")
    pytest.importorskip("stdnum")
    done = mask_numbers(text, ALL)
    assert done == masked.format(**MASKS)
    assert mask_numbers(done, ALL) == done
    assert count_masks(done.encode()) == {
        category: masked.count(f"{{{category}}}") for category in MASKS if f"{{{category}}}" in masked
    }


@pytest.mark.parametrize(
    "text",
    [
        "in 1914 and 1918, at 10:30 on 12.05.2024, 3.14159265",
        "DE89 3704 0044 0532 0130 01 is one digit off",
        "order 5555 5555 5555 4445",
        "page 12, pp. 100-123, ISBN 978-3-16-148410-0",
        "a 4111111111111111a token",
        "no number at all",
    ],
)
def test_numbers_that_are_none_of_these_stay(text: str) -> None:
    pytest.importorskip("phonenumbers")
    pytest.importorskip("stdnum")
    assert mask_numbers(text, ALL) == text


def test_each_kind_of_number_is_a_switch_of_its_own_in_what_is_cleaned() -> None:
    pytest.importorskip("phonenumbers")
    pytest.importorskip("stdnum")
    text = "DE89370400440532013000, 5555555555554444, Tel. 030 901820"
    given_ = {"phones": ["DE"], "bank_accounts": False, "payment_cards": False}
    cleaned = normalize(text, Normalizing.model_validate({"mask_numbers": given_}))
    assert cleaned == f"DE89370400440532013000, 5555555555554444, Tel. {MASKS['phone numbers']}"
    assert normalize(text, Normalizing()) == text
    assert "mask_numbers" not in identity_of(Normalizing())
    with pytest.raises(CurationError, match="'ZZ' is no country whose phone numbers are known"):
        mask_numbers(text, PersonalNumbers(phones=("ZZ",)))


def test_without_the_packages_it_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "stdnum", None)
    monkeypatch.setitem(sys.modules, "stdnum.luhn", None)
    with pytest.raises(CurationError, match=r"pip install 'squeeze-gpt\[personal\]'"):
        mask_numbers("5555555555554444", PersonalNumbers())
