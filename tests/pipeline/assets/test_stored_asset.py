"""A recipe becomes an asset that reuses, explains itself, takes launchpad values, and fails in the user's words."""

import dataclasses

import dagster as dg
import pytest

from pipeline.assets.naming import Naming
from pipeline.assets.stored_asset import StoredAsset, StoreResource, asset_of, code_version, tags_of
from pipeline.base.errors import CurationError
from pipeline.base.settings import Settings, runtime

NAMING = Naming("sample")


class Filters(Settings):
    min_words: int = 50
    workers: int = runtime(2)


@dataclasses.dataclass(frozen=True)
class Found:
    content_hash: str
    documents: int


class Launchpad(dg.Config):
    min_words: int | None = None


def stored(settings=None, *, make=None, **changes):
    def write(build):
        (build.out / "data.txt").write_text(str(build.settings.min_words))
        return Found(f"hash of {build.settings.min_words}", build.settings.min_words)

    words = {"key": "corpus/books", "group": "curation", "description": "Books.", "version": "1", "inputs": []}
    return StoredAsset(**words, settings=settings or Filters(), summary=Found, make=make or write, **changes)


@pytest.fixture
def run(tmp_path):
    def materialize(*recipes, config=None, raise_on_error=True):
        store = StoreResource(root=str(tmp_path / "store"), profile="sample")
        return dg.materialize(
            [asset_of(item, NAMING) for item in recipes],
            resources={"store": store},
            run_config=config,
            raise_on_error=raise_on_error,
        )

    return materialize


def metadata_of(result, key="corpus/books"):
    (event,) = result.asset_materializations_for_node(key.replace("/", "__"))
    return {name: value.value for name, value in event.metadata.items()}, event.tags


def test_a_second_materialization_is_reused_and_shows_the_same(run):
    shown = {"metadata": lambda found, folder: {"documents": found.documents}}
    first, first_tags = metadata_of(run(stored(**shown)))
    again, again_tags = metadata_of(run(stored(**shown)))
    assert (first["reused"], again["reused"]) == (False, True)
    assert (first_tags["reused"], again_tags["reused"]) == ("false", "true")
    assert first["documents"] == again["documents"] == 50
    assert first["fingerprint"] == again["fingerprint"]
    assert again["why"] == "first build"


def test_the_data_version_is_the_content_hash_so_equal_content_leaves_what_follows_fresh(run):
    _, tags = metadata_of(run(stored()))
    assert tags["dagster/data_version"] == "hash of 50"


def test_a_runtime_setting_neither_rebuilds_nor_looks_stale(run):
    run(stored(Filters(workers=1)))
    again, _ = metadata_of(run(stored(Filters(workers=8))))
    assert again["reused"]
    assert code_version(stored(Filters(workers=1))) == code_version(stored(Filters(workers=8)))
    assert code_version(stored(Filters(min_words=40))) != code_version(stored())


def test_launchpad_values_are_laid_over_the_settings_before_fingerprinting(run):
    def override(settings, given):
        return Filters(min_words=given["min_words"]) if given.get("min_words") else settings

    able = stored(config=Launchpad, override=override)
    run(able)
    config = {"ops": {"corpus__books": {"config": {"min_words": 40}}}}
    changed, _ = metadata_of(run(able, config=config))
    assert changed["why"] == "rebuilt because: config.min_words: 50 -> 40"


@pytest.mark.parametrize(
    ("typed", "given"), [({}, {}), ({"min_words": None}, {"min_words": None}), ({"min_words": 7}, {"min_words": 7})]
)
def test_a_null_that_is_typed_is_a_value_and_what_is_left_out_is_none(run, typed, given):
    seen = []

    def override(settings, values):
        seen.append(values)
        return settings

    run(stored(config=Launchpad, override=override), config={"ops": {"corpus__books": {"config": typed}}})
    assert seen == [given]


def test_an_input_is_taken_from_the_store_and_its_absence_explained(run):
    seen = []

    def make(build):
        seen.append(build.path("corpus/books"))
        return Found("h", 1)

    after = StoredAsset("mixture", "tokenizers", "All.", "1", Filters(), ["corpus/books"], Found, make)
    failed = run(after, raise_on_error=False)
    assert not failed.success
    (failure,) = [event for event in failed.all_events if event.is_step_failure]
    assert "corpus/books is not in the store" in failure.step_failure_data.user_failure_data.description
    run(stored())
    run(after)
    assert (seen[0] / "data.txt").read_text() == "50"


def test_inputs_of_two_generations_are_refused_until_the_one_between_is_made_again(run):
    def chain(words, note="a"):
        def write(content):
            return lambda build: Found(content, 1)

        def recipe(key, settings, inputs, content):
            return StoredAsset(key, "curation", "Text.", "1", settings, inputs, Found, write(content))

        return (
            recipe("documents/books", {"words": words, "note": note}, [], words),
            recipe("corpus/books", {}, ["documents/books"], f"of {words}"),
            recipe("tokens/books", {}, ["documents/books", "corpus/books"], f"ids of {words}"),
        )

    run(*chain("old"))
    documents, corpus, tokens = chain("new")
    run(documents)
    failed = run(tokens, raise_on_error=False)
    (failure,) = [event for event in failed.all_events if event.is_step_failure]
    said = failure.step_failure_data.user_failure_data.description
    assert "corpus/books was made from another version of documents/books: materialize corpus/books first" in said
    run(corpus)
    run(tokens)
    run(chain("new", note="b")[0])  # built anew, with the same content
    assert metadata_of(run(tokens), "tokens/books")[0]["reused"]


def test_an_asset_is_tagged_with_what_it_is_about():
    (spec,) = asset_of(stored(), NAMING).specs
    assert spec.tags["corpus"] == "books"
    assert tags_of("shards/epoch_001") == {"epoch": "epoch_001"}
    assert tags_of("model") == {}


def test_an_error_the_user_can_put_right_fails_the_run_in_its_own_words(run):
    def make(build):
        raise CurationError("corpus books has no documents left: lower min_words")

    result = run(stored(make=make), raise_on_error=False)
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert failure.step_failure_data.user_failure_data.description.startswith("corpus books has no documents left")


def warnings_of(capsys):
    return [line for line in capsys.readouterr().err.splitlines() if " - WARNING - " in line]


def test_pictures_that_cannot_be_drawn_are_a_warning_and_the_artifact_is_kept(run, capsys):
    def draw(found, folder):
        raise ZeroDivisionError("no documents to draw")

    result = run(stored(pictures=draw))
    assert metadata_of(result)[0]["why"] == "first build"
    (said,) = warnings_of(capsys)
    assert "corpus/books is built without pictures" in said
    assert "ZeroDivisionError: no documents to draw" in said
    assert metadata_of(run(stored(pictures=draw)))[0]["reused"]


def test_figures_that_cannot_be_made_are_a_warning_and_the_rest_is_shown(run, capsys):
    def count(found, folder):
        return {"documents": found.no_such_fact}

    shown, tags = metadata_of(run(stored(metadata=count, pictures=lambda found, folder: {"waterfall": b"PNG"})))
    assert {"waterfall", "fingerprint", "path"} <= shown.keys()
    assert "documents" not in shown
    assert shown["own_figures"].startswith("cannot be shown: AttributeError: 'Found' object has no attribute")
    assert tags["dagster/data_version"] == "hash of 50"
    (said,) = warnings_of(capsys)
    assert (
        "corpus/books is shown without its own figures: AttributeError: 'Found' object has no attribute 'no_such_fact'"
        in said
    )


def test_a_figure_that_is_no_metadata_is_left_out_alone_and_its_place_says_why(run, capsys):
    shown, _ = metadata_of(run(stored(metadata=lambda found, folder: {"words": {1, 2}, "documents": 50})))
    assert shown["documents"] == 50
    assert shown["words"].startswith("cannot be shown: DagsterInvalidMetadata: ")
    (said,) = warnings_of(capsys)
    assert "corpus/books is shown without words: DagsterInvalidMetadata" in said


def test_a_build_that_fails_still_fails_the_asset(run):
    def make(build):
        raise ZeroDivisionError("no documents")

    assert not run(stored(make=make), raise_on_error=False).success
