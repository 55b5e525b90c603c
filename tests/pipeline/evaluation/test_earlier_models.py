"""Which models of the store stand beside a new one's scores, and which card goes with an exported model."""

import pytest

from pipeline.assets.scorecard import EARLIER_MODELS, earlier_models
from pipeline.base.errors import StoreError
from pipeline.evaluation.results import Details, Score, finish
from pipeline.evaluation.scores.scorecard import build_scorecard
from pipeline.reporting.card import card_of
from pipeline.reporting.facts import evaluated, facts_of
from pipeline.store import Built, Store


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store whose clock moves a minute with every build."""
    import datetime

    from pipeline.store import store as module

    class Clock(datetime.datetime):
        minutes = 0

        @classmethod
        def now(cls, zone=None):
            cls.minutes += 1
            return datetime.datetime(2030, 1, 1, tzinfo=zone) + datetime.timedelta(minutes=cls.minutes)

    monkeypatch.setattr(module, "datetime", Clock)
    return Store(tmp_path / "store", "sample").open()


def model(store, seed):
    def build(out):
        return Built(f"weights {seed}", {"run": {}})

    return store.ensure("model", code_version="1", identity={"seed": seed}, inputs={}, build=build).artifact


def scored(store, artifact, suite, value, limit=100):
    def build(out):
        result = finish(out, "lm_eval", [Score(suite, "acc", value, 0.05, limit)], Details(), seconds=0)
        return Built(result.content_hash)

    identity = {"limit": limit}
    return store.ensure(
        f"eval/{suite}", code_version="1", identity=identity, inputs={"model": artifact}, build=build
    ).artifact


def test_only_models_trained_before_are_earlier_and_of_each_the_newest_result_of_a_suite(store):
    first, second, third = (model(store, seed) for seed in (1, 2, 3))
    scored(store, first, "piqa", 0.5)
    newest = scored(store, first, "piqa", 0.51, limit=200)
    scored(store, first, "sciq", 0.3)
    scored(store, third, "piqa", 0.6)
    found = earlier_models(store, second, ["piqa"])
    assert list(found) == [f"sample {first.fingerprint[:8]}"]
    (earlier,) = found.values()
    assert (earlier.fingerprint, dict(earlier.suites)) == (first.fingerprint, {"piqa": newest.path})


def test_the_latest_few_are_taken(store):
    models = [model(store, seed) for seed in range(EARLIER_MODELS + 3)]
    for item in models:
        scored(store, item, "piqa", 0.5)
    found = earlier_models(store, models[-1], ["piqa"])
    assert [item.fingerprint for item in found.values()] == [
        item.fingerprint for item in models[-2 : -2 - EARLIER_MODELS : -1]
    ]


def carded(store, artifact, *suites):
    def build(out):
        folders = {item.key.removeprefix("eval/"): item.path for item in suites}
        return Built(build_scorecard(folders, {}, out).content_hash)

    inputs = {"model": artifact, **{item.key: item for item in suites}}
    return store.ensure("scorecard", code_version="1", identity={}, inputs=inputs, build=build).artifact


def test_a_page_has_the_scores_of_its_own_profile_and_settings_and_never_newer_ones(store):
    item = model(store, 1)
    mine = scored(store, item, "piqa", 0.5, limit=100)
    other = Store(store.root, "other").open()
    scored(other, item, "piqa", 0.7, limit=5)
    scored(other, item, "sciq", 0.9)
    assert {key: found.fingerprint for key, found in evaluated(store, item, "sample").items()} == {
        "eval/piqa": mine.fingerprint
    }
    scored(store, item, "piqa", 0.6, limit=200)
    again = scored(store, item, "piqa", 0.5, limit=100)  # the setting is changed back
    assert evaluated(store, item, "sample")["eval/piqa"].fingerprint == again.fingerprint == mine.fingerprint
    assert [result.scores[0].value for result in facts_of(store, item).suites.values()] == [0.5]
    assert set(evaluated(store, item, "other")) == {"eval/piqa", "eval/sciq"}


def test_a_model_of_before_has_what_its_last_scorecard_was_made_from(store):
    first = model(store, 1)
    old, wide = scored(store, first, "piqa", 0.5), scored(store, first, "sciq", 0.4)
    card = carded(store, first, old)
    second = model(store, 2)
    assert evaluated(store, second, "sample") == {}
    scored(store, second, "piqa", 0.6), scored(store, second, "sciq", 0.6)
    carded(store, second)
    found = evaluated(store, first, "sample")
    assert {key: item.fingerprint for key, item in found.items()} == {
        "scorecard": card.fingerprint,
        "eval/piqa": old.fingerprint,
    }
    assert wide.fingerprint not in {item.fingerprint for item in found.values()}


def test_the_card_of_an_exported_model_has_the_scores_it_has_by_now(store):
    item = model(store, 1)
    exported = store.ensure(
        "model_hf", code_version="1", identity={}, inputs={"model": item}, build=lambda out: Built("hf")
    ).artifact
    assert "## Scores" not in card_of(store, exported)
    suite = scored(store, item, "piqa", 0.625)

    def build(out):
        return Built(build_scorecard({"piqa": suite.path}, {}, out).content_hash)

    inputs = {"model": item, "eval/piqa": suite}
    store.ensure("scorecard", code_version="1", identity={}, inputs=inputs, build=build)
    card = card_of(store, exported)
    assert card.startswith("---\nlibrary_name: transformers\n")
    assert "0.6250 ± 0.0500" in card
    (item.path / "manifest.json").unlink()
    with pytest.raises(StoreError, match="not in the store any more"):
        card_of(store, exported)
