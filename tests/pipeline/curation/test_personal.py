"""What is masked: the addresses that datatrove's own patterns find, and no others."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.curation.text.personal import MASKS, count_masks, mask_personal, mask_phones


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
