"""Quality filters: every one is in the table, and a document is judged by the first rule that it breaks."""

from __future__ import annotations

import importlib
import inspect
import itertools
import pkgutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from pipeline.curation import filters
from pipeline.curation.filters.filter import Filter
from pipeline.curation.filters.filters import Filters
from pipeline.curation.filters.verdicts import verdicts
from pipeline.curation.settings import CorpusSettings


def test_every_filter_is_one_class_in_one_file_and_in_the_table() -> None:
    groups = [getattr(info.annotation, "__args__", ()) for info in Filters.model_fields.values()]
    known = {*Filters.__mro__[1:], *itertools.chain.from_iterable(groups)}
    for module in pkgutil.iter_modules(filters.__path__, f"{filters.__name__}."):
        if module.name.rsplit(".", 1)[1] in ("filter", "filters", "verdicts", "quality_thresholds"):
            continue
        members = vars(importlib.import_module(module.name)).values()
        own = [kind for kind in members if inspect.isclass(kind) and kind.__module__ == module.name]
        assert len(own) == 1, module.name
        assert issubclass(own[0], Filter)
        assert own[0] in known, f"{own[0].__name__} is not a part of Filters"


def documents(**signals: list[object]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(signals)


def test_the_first_rule_in_fineweb_s_order_is_the_reason() -> None:
    groups = {"fineweb": {"short_lines": 0.5}, "gopher_repetition": {"top_2gram": 0.1}}
    thresholds = Filters.model_validate({**groups, "language": ["en"], "minimum_words": 50})
    shares = {name: [0.0] * 4 for group in ("gopher_repetition", "fineweb") for name in fields_of(group)}
    shares |= {"top_2gram": [0.9, 0.9, 0.9, 0.0], "short_lines": [0.9] * 4, "punctuated_lines": [1.0] * 4}
    batch = documents(lang=["fr", "en", "en", "en"], words=[3, 3, 90, 90], grade=[1.0] * 4, **shares)
    assert verdicts(batch, lambda lang: thresholds) == [
        ("language", "fr"),
        ("too few words", "3"),
        ("gopher repetition: top 2gram too high", "0.900"),
        ("fineweb: short lines too high", "0.900"),
    ]


def fields_of(group: str) -> list[str]:
    (kind, _) = Filters.model_fields[group].annotation.__args__  # type: ignore[union-attr]
    return list(kind.model_fields)


def test_a_document_without_a_grade_breaks_no_rule_on_it() -> None:
    thresholds = Filters(minimum_grade=2, maximum_grade=8)
    batch = documents(lang=["en", "en", "fr"], words=[9] * 3, grade=[1.0, 5.0, np.nan])
    assert verdicts(batch, lambda lang: thresholds) == [("grade too low", "1.000"), None, None]


def test_thresholds_of_a_language_replace_those_of_the_corpus(tmp_path: Path) -> None:
    settings = CorpusSettings.model_validate(
        {
            "sources": [{"files": [str(tmp_path)]}],
            "filters": {"minimum_words": 50, "language_score": 0.65},
            "languages": {"fr": {"language_score": 0.824}},
        }
    )
    assert settings.filters_for("en").language_score == 0.65
    assert settings.filters_for("fr") == Filters(minimum_words=50, language_score=0.824)


@pytest.mark.parametrize("given", ["fra", "FR", "fr-FR", "fra_Latn"])
def test_a_language_is_one_whatever_form_its_code_has(tmp_path: Path, given: str) -> None:
    settings = CorpusSettings.model_validate(
        {
            "sources": [{"files": [str(tmp_path)], "lang": given}],
            "filters": {"language": [given]},
            "languages": {given: {"minimum_words": 7}},
        }
    )
    assert (settings.sources[0].lang, settings.filters.language) == ("fr", ("fr",))
    assert settings.filters_for("fr").minimum_words == 7
    assert settings.allowed_languages == {"fr"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"filters": {"language": ["french"]}}, r"'french' is no language code; did you mean 'fr' \(French\)\?"),
        ({"languages": {"qqq": {}}}, "'qqq' is no language code"),
        ({"languages": {"fr": {}, "fra_Latn": {}}}, "'fr' and 'fra_Latn' are one language, 'fr': put them together"),
        ({"sources": [{"files": ["x"], "lang": "xx"}]}, "'xx' is no language code"),
    ],
)
def test_what_is_no_code_is_refused_where_settings_say_it(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        CorpusSettings.model_validate({"sources": [{"files": ["x"]}], **wrong})


def test_a_language_changes_of_a_group_what_it_names_alone() -> None:
    base = Filters.model_validate({"gopher_quality": {"minimum_words": 20, "stop_words": None}})
    french = base.merged(Filters.model_validate({"gopher_quality": {"maximum_word_length": 12}})).gopher_quality
    assert french is not None
    assert (french.minimum_words, french.stop_words, french.maximum_word_length) == (20, None, 12)
    none = base.merged(Filters.model_validate({"gopher_quality": None}))
    assert none.gopher_quality is None
