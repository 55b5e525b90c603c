"""What is masked: the addresses that datatrove's own patterns find, and no others."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.curation.text.personal import mask_personal


def test_mail_and_public_ip_addresses_are_masked() -> None:
    assert (
        mask_personal("write to jane.doe@mail.example.org or 8.8.8.8") == "write to email@example.com or 22.214.171.124"
    )
    assert (
        mask_personal("the router at 192.168.0.1, version 1.2.3.4.5") == "the router at 192.168.0.1, version 1.2.3.4.5"
    )


PIECES = st.sampled_from(["a", "b.c", ".", "..", "@", "-", "!", "é", " ", "[1.2.3.4]", "_", "\n"])


@settings(max_examples=400)
@given(st.lists(PIECES, max_size=16).map("".join))
def test_addresses_are_those_of_datatrove(text: str) -> None:
    from datatrove.pipeline.formatters.pii import PIIFormatter

    formatter = PIIFormatter(email_replacement="email@example.com", ip_replacement="22.214.171.124")
    assert mask_personal(text) == formatter.format(text)
