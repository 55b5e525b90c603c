"""Settings of what is done to text before it is a document's: cleaning, and nothing that judges it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipeline.base.settings import Settings, later


class PersonalNumbers(Settings):
    """Numbers that point at a person, told by their digits (extra `[personal]`)."""

    phones: tuple[Annotated[str, Field(pattern=r"^[A-Z]{2}$")], ...] = ()
    """Countries (ISO 3166, such as DE) whose phone numbers are replaced as they are written there, without a prefix."""
    bank_accounts: bool = True
    """IBANs."""
    payment_cards: bool = True
    """Numbers of 15 and 16 digits as cards have them, whose last digit fits; one in ten of other numbers' does too."""


class Normalizing(Settings):
    """How text is cleaned, in the order of these fields. Clean text stays as it is."""

    fix_encoding: bool = True
    """Repair mojibake and lone surrogates with ftfy, then NFC."""
    gutenberg: bool = False
    """Cut Project Gutenberg's header, licence, credits and transcriber's notes."""
    unwrap: bool = False
    """Join the lines of hard-wrapped paragraphs, as books on Project Gutenberg have them."""
    html: bool = False
    """Drop left-over HTML tags (line breaks for blocks, blanks for cells) and markdown tables' rules, then undo
    escapes, once. Without it tags stay, and escapes are undone in documents without tags."""
    c4_lines: bool = False
    """Drop lines that mention javascript, cookies or policies, and citation marks, as C4 does."""
    mask_personal: bool = True
    """Replace e-mail addresses and public IP addresses, as FineWeb does."""
    mask_phones: bool = later(False)
    """Replace phone numbers: with a country's prefix (+44 20 7946 0958), or in the North American form."""
    mask_numbers: PersonalNumbers | None = later(None)
    """Replace phone numbers in countries' own forms, bank accounts and payment cards; `{}` has the defaults."""
