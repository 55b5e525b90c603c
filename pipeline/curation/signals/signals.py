"""Signals of documents, computed once and stored beside the text, so that thresholds can change without it.

In: a batch of normalised texts and their languages. Out: one column a signal, in the order and types of
`SIGNAL_FIELDS`. The definitions are datatrove's (Gopher: Rae et al. 2021, table A1 and section A.1.1; C4: Raffel et al.
2020; FineWeb: Penedo et al. 2024), so that a threshold gives the verdict its filter would; ratios are float64, for a
threshold to fall on the same side. Ratios over nothing are 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from pipeline.curation.signals.language import detect_language
from pipeline.curation.signals.line_signals import line_signals
from pipeline.curation.signals.minhash import MINHASH_PERMUTATIONS, signatures
from pipeline.curation.signals.sentences import cut_lines
from pipeline.curation.signals.token_signals import token_signals
from pipeline.curation.text.words import chunk_table

_SHARES: Final = (
    *("short_lines", "punctuated_lines", "duplicate_line_characters", "newlines_per_word"),
    *("hashes_per_word", "ellipses_per_word", "bullet_lines", "ellipsis_lines", "alphabetic_words", "word_length"),
    *("duplicate_lines", "duplicate_paragraphs", "repeated_line_characters", "repeated_paragraph_characters"),
    *("top_2gram", "top_3gram", "top_4gram"),
    *("repeated_5gram", "repeated_6gram", "repeated_7gram", "repeated_8gram", "repeated_9gram", "repeated_10gram"),
)
SIGNAL_FIELDS: Final = (
    pa.field("detected", pa.string(), nullable=False),
    pa.field("language_score", pa.float32(), nullable=False),
    pa.field("words", pa.uint32(), nullable=False),
    pa.field("stop_words", pa.uint8(), nullable=False),
    pa.field("c4_sentences", pa.uint32(), nullable=False),
    pa.field("lorem_or_bracket", pa.bool_(), nullable=False),
    *(pa.field(name, pa.float64(), nullable=False) for name in _SHARES),
    pa.field("grade", pa.float32(), nullable=False),
    pa.field("minhash", pa.binary(MINHASH_PERMUTATIONS * 4), nullable=False),
)


def compute_signals(texts: Sequence[str], langs: Sequence[str]) -> dict[str, Any]:
    """Columns of `SIGNAL_FIELDS` for a batch of texts.

    Args:
        texts: N normalised, non-empty texts.
        langs: N declared languages; "" takes the detected one to choose the word rules.
    """
    detected, scores = zip(*map(detect_language, texts), strict=True) if texts else ((), ())
    judged_as = [lang or other for lang, other in zip(langs, detected, strict=True)]
    return {"detected": list(detected), "language_score": list(scores), **compute_quality(texts, judged_as)}


def compute_quality(texts: Sequence[str], langs: Sequence[str]) -> dict[str, Any]:
    """The signals of the published filters, the grade and the MinHash signature of texts in known languages."""
    arrays: dict[str, Any] = {
        field.name: np.zeros(len(texts), field.type.to_pandas_dtype()) for field in SIGNAL_FIELDS[2:-1]
    }
    minhash = np.zeros((len(texts), MINHASH_PERMUTATIONS), dtype="<u4")
    english = np.array([lang == "en" for lang in langs], dtype=bool)
    for flag in (True, False):
        rows = np.flatnonzero(english == flag)
        for start, stop, lines in cut_lines([texts[row] for row in rows.tolist()], chunk_table(english=flag)):
            some = rows[start:stop]
            for name, values in token_signals(lines, english=flag).items():
                arrays[name][some] = values
            minhash[some] = signatures(*lines.chunked.words())
    of_lines = list(map(line_signals, texts))
    for name in of_lines[0] if of_lines else ():
        arrays[name][:] = [values[name] for values in of_lines]
    arrays["minhash"] = [row.tobytes() for row in minhash]
    return arrays
