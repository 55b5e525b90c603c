r"""Pre-tokenisation patterns: where byte-level BPE may never merge across.

`gpt2`, `cl100k` and `o200k` are OpenAI's (tiktoken's `tiktoken_ext/openai_public.py`), in the plain form that the
regex engines of `tokenizers` (Oniguruma) and `tiktoken` (fancy-regex) read alike. They differ in how they see digits:
GPT-2 takes a whole number as one piece (`\p{N}+`), the later ones at most three digits. The `digits` of a
specification sets that number: one digit is kindest to arithmetic, and a small vocabulary does best with two
(nanochat's measurement at 32k: {1,2} 0.965 bits per byte, {1} 0.969, {1,3} 0.972).
"""

from __future__ import annotations

from typing import Final

from pipeline.base.errors import TokenizerError

_DIGITS: Final = r"\p{N}{1,3}"

_UPPER: Final = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LOWER: Final = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_SUFFIX: Final = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"

PATTERNS: Final[dict[str, str]] = {
    "gpt2": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "cl100k": (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
        + _DIGITS
        + r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    "o200k": (
        f"{_UPPER}*{_LOWER}+{_SUFFIX}|{_UPPER}+{_LOWER}*{_SUFFIX}|{_DIGITS}"
        + r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
}
"""Name to regular expression, with each scheme's own grouping of digits."""

DIGIT_GROUPS: Final = {1: r"\p{N}", 2: r"\p{N}{1,2}", 3: _DIGITS}


def pattern_for(name: str, digits: int | None) -> str:
    """The regular expression of a named scheme, with at most `digits` digits in a piece (None: the scheme's own).

    Raises TokenizerError for an unknown scheme, and for `gpt2` with digits: its numbers carry a leading space.
    """
    if name not in PATTERNS:
        raise TokenizerError(f"pattern {name!r} is unknown; use one of {', '.join(PATTERNS)}")
    pattern = PATTERNS[name]
    if digits is None:
        return pattern
    if name == "gpt2":
        raise TokenizerError("pattern gpt2 takes whole numbers; for `digits` use cl100k or o200k")
    return pattern.replace(_DIGITS, DIGIT_GROUPS[digits])
