"""A profile is validated as a whole; every mistake is named with its file, line and nearest key."""

import re

import pytest

from pipeline.base.errors import ProfileError
from pipeline.profile.profile import load_profile
from pipeline.profile.yaml import BUILT_IN, profile_name


@pytest.fixture
def profile_with(tmp_path):
    """Load a profile that extends `sample` with the given YAML."""

    def load(text):
        path = tmp_path / "mine.yaml"
        path.write_text("extends: sample\n" + text)
        return load_profile(str(path))

    return load


@pytest.mark.parametrize("name", sorted(file.stem for file in BUILT_IN.glob("*.yaml")))
def test_every_built_in_profile_is_valid_and_described(name):
    profile = load_profile(name)
    assert profile.name == name
    assert profile.description
    assert all(corpus.description for corpus in profile.corpora.values())


@pytest.mark.parametrize("name", sorted(file.stem for file in BUILT_IN.glob("*.yaml")))
def test_a_built_in_profile_pins_its_data_sets_of_the_hub_to_commits(name):
    sources = [source for corpus in load_profile(name).corpora.values() for source in corpus.sources]
    pinned = {source.hub.id: source.hub.revision for source in sources if source.hub is not None}
    assert all(re.fullmatch("[0-9a-f]{40}", revision) for revision in pinned.values()), pinned


def test_the_sample_says_that_its_web_text_stands_in_for_fineweb_edu():
    assert "standing in for FineWeb-Edu" in load_profile("sample").corpora["fineweb_edu"].description


def test_a_profile_is_named_by_its_file_unless_it_says_otherwise(profile_with, tmp_path):
    assert profile_with("").name == "mine"
    assert profile_with("name: other\n").name == "other"
    assert profile_name(str(tmp_path / "mine.yaml")) == "other"


def test_the_environment_chooses_the_profile(monkeypatch, tmp_path):
    path = tmp_path / "chosen.yaml"
    path.write_text("extends: sample\n")
    monkeypatch.setenv("SQUEEZE_PROFILE", str(path))
    assert load_profile().name == "chosen"


def test_the_preset_fills_what_is_left_out(profile_with):
    profile = profile_with("model: {layers: 3}\n")
    assert (profile.model.layers, profile.model.norm) == (3, "layernorm")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("corpra: {}\n", r"mine.yaml, line 2: corpra: unknown key; did you mean 'corpora'\?"),
        (
            "corpora:\n  books:\n    filters: {minimum_wrods: 3}\n",
            r"mine.yaml, line 4: corpora.books.filters.minimum_wrods: unknown key; did you mean 'minimum_words'\?",
        ),
        (
            "training: {optimizer: {learning_rate: -1}}\n",
            r"line 2: training.optimizer.learning_rate: must be above 0, found -1",
        ),
        (
            "training: {optimizer: {lerning_rate: 1}}\n",
            r"mine.yaml, line 2: training.optimizer.lerning_rate: unknown key; did you mean 'learn",
        ),
        ("model: {heads: 5}\n", r"mine.yaml, line 2: model.*heads \(5\) must divide width \(128\)"),
        ("model: {mlp: swigloo}\n", r"mine.yaml, line 2: model.mlp: .*'swiglu'.*found 'swigloo'"),
        (
            "corpora: {books: {estimated_byte: 1}}\n",
            r"mine.yaml, line 2: corpora.books.estimated_byte: unknown key; did you mean 'estimated_bytes'\?",
        ),
        (
            "training: {clip: 5}\n",
            r"mine.yaml, line 2: training.clip: unknown key; did you mean 'optimizer.clip_norm'\?",
        ),
        ("training: 3\n", r"mine.yaml, line 2: training: expected a mapping of settings, found 3"),
        ("corpora: {books: [a]}\n", r"mine.yaml, line 2: corpora.books: expected a mapping of settings, found \['a'\]"),
        (
            "training: {evaluate_every: {a: 1}}\n",
            r"training.evaluate_every: expected a whole number, found a mapping of a",
        ),
        ("training: {optimizer: {betas: [0, 0, 0]}}\n", r"optimizer.betas: expected at most 2 values, found 3"),
        ("model: {rope_scaling: {kind: yarn}}\n", r"mine.yaml, line 2: model.rope_scaling.factor: missing, must be"),
        ("training: {max_minute: 5}\n", r"mine.yaml, line 2: training.max_minute: unknown key; did you mean 'max_min"),
        ("training: {max_minutes: 0}\n", r"mine.yaml, line 2: training.max_minutes: must be above 0, found 0"),
        ("name: a/b\n", r"mine.yaml, line 2: name: .*found 'a/b'"),
        ("launch: {ranks: two}\n", r"mine.yaml, line 2: launch.ranks: .*found 'two'"),
        ("preset: xl\n", r"mine.yaml, line 2: preset: 'xl' is not one of s, m, l"),
        (
            "schedule:\n  stages:\n    - {name: a, mixture: {book: 1.0}}\n",
            r"line 4: schedule.stages.0.mixture.book: stage 'a' mixes 'book', which is not.*; did you mean 'books'\?",
        ),
        (
            "schedule:\n  stages:\n    - {name: a, mixture: {books: -0.5}}\n",
            r"mine.yaml, line 4: schedule.stages.0.*-0.5",
        ),
        ("schedule: {language_temperature: {bookz: 2}}\n", r"no corpus 'bookz'; did you mean 'books'\?"),
        (
            "shards: {packing: {context: 99}}\n",
            r"line 2: shards.packing.context: it is 99, model.context 256",
        ),
        (
            "corpora: {english: {sources: [{files: a.txt}]}}\n",
            r"'english' is what scores of all English",
        ),
        ("evaluation:\n  suites:\n    hella: {kind: lm_evil}\n", r"mine.yaml, line 4: evaluation.suites.hella"),
        ("tokenizers: {select: bpe_3k}\n", r"mine.yaml, line 2: tokenizers.*select is 'bpe_3k'"),
    ],
)
def test_a_mistake_is_named_with_its_place(profile_with, text, message):
    with pytest.raises(ProfileError, match=message):
        profile_with(text)


def test_null_takes_away_what_the_extended_profile_has(profile_with):
    stage = "[{name: all, mixture: {books: 1.0}}]"
    corpora = "{fineweb_edu: null, wikipedia: null, childrens_books: null, multilingual: null}"
    profile = profile_with(f"corpora: {corpora}\nschedule: {{stages: {stage}, language_temperature: null}}\n")
    assert list(profile.corpora) == ["books"]
    assert profile.schedule.language_temperature == {}


def test_all_mistakes_are_reported_together(profile_with):
    with pytest.raises(ProfileError) as caught:
        profile_with("launch: {ranks: 0}\nmodel: {width: x}\n")
    assert "launch.ranks" in str(caught.value)
    assert "model.width" in str(caught.value)


def test_the_environment_says_how_many_assets_are_worked_on_at_once(monkeypatch):
    assert load_profile("sample").assets_at_once == 1
    monkeypatch.setenv("SQUEEZE_ASSETS_AT_ONCE", "3")
    assert load_profile("sample").assets_at_once == 3
    monkeypatch.setenv("SQUEEZE_ASSETS_AT_ONCE", "many")
    with pytest.raises(ProfileError, match="SQUEEZE_ASSETS_AT_ONCE=many must be a whole number of at least 1"):
        load_profile("sample")
