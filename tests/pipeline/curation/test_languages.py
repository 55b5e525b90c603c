"""Codes of languages: whatever form they come in, one goes on."""

from __future__ import annotations

import pytest

from pipeline.curation.text.languages import known_language, language_code


@pytest.mark.parametrize(
    ("given", "code"),
    [
        *((form, "de") for form in ("de", "deu", "ger", "DE", "de-AT", "de_DE.UTF-8", "deu_Latn", "deu_1901", " de ")),
        *((form, "zh") for form in ("zh-Hant", "cmn", "cmn_hans", "zho", "chi")),
        *((form, "ar") for form in ("ara", "arb_Arab")),
        *((form, "no") for form in ("nb", "nob_Latn", "nor")),
        ("nno", "nn"),
        ("swh_Latn", "sw"),
        ("als_Latn", "sq"),
        ("iw", "he"),
        ("fil", "tl"),
        ("ceb_Latn", "ceb"),
        ("yue_Hant", "yue"),
        ("lgg-official", "lgg"),
    ],
)
def test_every_form_of_a_code_is_one(given: str, code: str) -> None:
    assert known_language(given) == language_code(given) == code
    assert known_language(code) == code, "the one form stays as it is"


@pytest.mark.parametrize("given", ["", "und", "007", "x", "qqq", "simple", "fr ench", "12", "latin1", "-"])
def test_what_is_no_code_is_none(given: str) -> None:
    assert known_language(given) is None


@pytest.mark.parametrize(
    ("given", "hint"),
    [("french", "'fr' (French)"), ("Germn", "'de' (German)"), ("fraa", "'fr' (French)"), ("12", None)],
)
def test_a_setting_that_is_no_code_is_refused_with_the_nearest(given: str, hint: str | None) -> None:
    with pytest.raises(ValueError, match="is no language code") as error:
        language_code(given)
    assert (f"did you mean {hint}?" in str(error.value)) == (hint is not None)
