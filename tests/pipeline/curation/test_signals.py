"""Signals that no filter of the field is an oracle for; the others are in test_datatrove_agreement.py."""

from __future__ import annotations

import numpy as np

from pipeline.curation.signals.signals import compute_signals


def test_signals_of_hard_and_easy_text_differ_in_grade() -> None:
    easy = "The cat sat. The dog ran. It was a big red dog. " * 5
    hard = (
        "The epistemological ramifications of institutionalised bureaucratisation necessitate comprehensive "
        "interdisciplinary investigation of organisational accountability. " * 5
    )
    grades = compute_signals([easy, hard, "Le chat est là."], ["en", "en", "fr"])["grade"]
    assert grades[0] < 2 < 15 < grades[1]
    assert np.isnan(grades[2])
