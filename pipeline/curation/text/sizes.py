"""How many bytes text is: in UTF-8, in which all text is counted."""

from __future__ import annotations


def utf8_bytes(text: str) -> int:
    """Bytes of a text in UTF-8; half a character (a lone surrogate) counts as the three it would take."""
    return len(text) if text.isascii() else len(text.encode("utf-8", errors="surrogatepass"))
