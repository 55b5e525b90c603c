"""Jobs select what their names say; the sensor and the schedule start them when they should."""

import dagster as dg
import pytest

from pipeline.automation import corpora_of_model
from pipeline.definitions import build_definitions
from pipeline.profile.profile import load_profile
from pipeline.store import Built, Store

EXPECTED = {
    "curate": ({"documents/books", "heldout/books", "near_duplicates", "corpus/books"}, {"mixture", "tokens/books"}),
    "train_tokenizers": ({"mixture", "tokenizer/gpt2", "tokenizer_comparison", "tokenizer"}, {"tokens/books"}),
    "shards": ({"tokens/books", "schedule", "shards/epoch_002"}, {"tokenizer", "model"}),
    "train_only": ({"model", "model_hf"}, {"shards/epoch_001", "scorecard"}),
    "evaluate": ({"eval/bits_per_byte", "scorecard", "report"}, {"model"}),
    "full_train": ({"documents/books", "tokens/books", "model", "report"}, set()),
}


@pytest.fixture
def definitions(tmp_path):
    return build_definitions(load_profile("sample"), str(tmp_path / "store"))


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store", "sample").open()


def keys_of(definitions, job):
    return {
        key.to_user_string().removeprefix("sample/")
        for key in definitions.resolve_job_def(job).asset_layer.selected_asset_keys
    }


@pytest.mark.parametrize("job", EXPECTED)
def test_a_job_selects_what_its_name_says_and_describes_it(definitions, job):
    wanted, unwanted = EXPECTED[job]
    keys = keys_of(definitions, job)
    assert wanted <= keys
    assert not unwanted & keys
    assert definitions.resolve_job_def(job).description


def test_every_asset_but_the_studys_belongs_to_exactly_one_partial_job(definitions):
    parts = [keys_of(definitions, job) for job in EXPECTED if job != "full_train"]
    assert sum(len(part) for part in parts) == len(set().union(*parts)) == len(keys_of(definitions, "full_train"))


def parents_of(definitions, key):
    (parents,) = [
        {parent.to_user_string().removeprefix("sample/") for parent in asset.asset_deps[name]}
        for asset in definitions.assets or ()
        if isinstance(asset, dg.AssetsDefinition)
        for name in asset.keys
        if name.to_user_string() == f"sample/{key}"
    ]
    return parents


def test_nothing_before_the_model_waits_for_tokenizers_that_are_not_chosen(definitions):
    """The comparison is made after it, and the report shows it."""
    assert parents_of(definitions, "tokenizer") == {"tokenizer/spm_unigram_8k"}
    assert "tokenizer_comparison" in parents_of(definitions, "report")
    job = definitions.resolve_job_def("full_train")
    later = {node.name for node in job.nodes if int(node.tags.get("dagster/priority", 0)) < 0}
    assert later == {"tokenizer__gpt2", "tokenizer__bpe_2k", "tokenizer_comparison"}


def test_a_criterion_waits_for_the_comparison(tmp_path):
    profile = load_profile("sample", {"tokenizers": {"select": "fewest_tokens"}})
    definitions = build_definitions(profile, str(tmp_path))
    candidates = {"tokenizer/spm_unigram_8k", "tokenizer/bpe_2k", "tokenizer/gpt2"}
    assert parents_of(definitions, "tokenizer") == {"tokenizer_comparison", *candidates}
    job = definitions.resolve_job_def("full_train")
    assert all(int(node.tags.get("dagster/priority", 0)) >= 0 for node in job.nodes)


def test_a_race_has_a_job_of_its_own_with_a_heat_a_seed(tmp_path):
    study = {"race": {"track": "time"}, "arms": {"entry": {"seeds": [4, 5, 6]}}}
    definitions = build_definitions(load_profile("race", {"study": study}), str(tmp_path))
    heats = {f"race/race_heat/{seed}" for seed in (4, 5, 6)}
    keys = {
        job: {key.to_user_string() for key in definitions.resolve_job_def(job).asset_layer.selected_asset_keys}
        for job in ("race", "ablations", "full_train")
    }
    assert {key for key in keys["race"] if "heat/" in key} == heats
    assert "race/ablation_data/standard" in keys["race"]
    assert not any(key.startswith("race/ablation/") for key in keys["race"])
    assert not heats & (keys["ablations"] | keys["full_train"])


def test_the_launchpad_shows_the_profiles_own_training_settings(definitions):
    for job in ("full_train", "train_only"):
        shown = definitions.resolve_job_def(job).run_config["ops"]["model"]["config"]
        assert shown["optimizer"]["learning_rate"] == load_profile("sample").training.optimizer.learning_rate
        assert shown["max_minutes"] is None


def put(store, key, content, inputs=()):
    """A finished artifact whose content hash is `content`."""

    def build(folder):
        (folder / "data.txt").write_text(content)
        return Built(content)

    parents = {item.key: item for item in inputs}
    return store.ensure(key, code_version="1", identity={"content": content}, inputs=parents, build=build).artifact


def corpora_and_model(store, books="books 1"):
    corpora = [put(store, f"corpus/{name}", name) for name in load_profile("sample").corpora if name != "books"]
    corpora.append(put(store, "corpus/books", books))
    shards = put(store, "shards/epoch_001", f"shards of {books}", corpora)
    return put(store, "model", f"model of {books}", [shards])


@pytest.fixture
def tick(definitions):
    """What the sensor does now: the run request, or the reason why there is none."""
    sensor = definitions.resolve_sensor_def("retrain_on_new_corpus")

    def evaluate(instance=None):
        context = dg.build_sensor_context(instance=instance or dg.DagsterInstance.ephemeral(), definitions=definitions)
        found = sensor.evaluate_tick(context)
        return found.run_requests[0] if found.run_requests else found.skip_message

    return evaluate


def test_the_sensor_and_the_schedule_are_off_until_turned_on(definitions):
    assert definitions.resolve_sensor_def("retrain_on_new_corpus").default_status == dg.DefaultSensorStatus.STOPPED
    weekly = definitions.resolve_schedule_def("verify_store_weekly")
    assert weekly.default_status == dg.DefaultScheduleStatus.STOPPED
    assert weekly.job_name == "verify_store"


def test_the_sensor_waits_for_a_first_model(tick, store):
    assert "nothing is trained yet" in tick()
    corpora_and_model(store)
    assert corpora_of_model(store)["corpus/books"] == "books 1"
    assert "corpora as they are" in tick()


def test_the_sensor_asks_for_one_run_for_each_new_content_of_a_corpus(tick, store):
    corpora_and_model(store)
    put(store, "corpus/books", "books 2")
    request = tick()
    assert request.tags["because"] == "corpus/books changed"
    assert tick().run_key == request.run_key  # the same content: Dagster starts it once
    put(store, "corpus/books", "books 3")
    assert tick().run_key != request.run_key
    corpora_and_model(store, "books 3")
    assert "corpora as they are" in tick()


def test_the_sensor_does_not_start_a_second_run_beside_one_in_progress(tick, store):
    corpora_and_model(store)
    put(store, "corpus/books", "books 2")
    instance = dg.DagsterInstance.ephemeral()
    instance.add_run(dg.DagsterRun(job_name="full_train", status=dg.DagsterRunStatus.STARTED))
    assert "a run is in progress" in tick(instance)


@pytest.fixture
def verify(definitions):
    def run():
        return definitions.resolve_job_def("verify_store").execute_in_process(raise_on_error=False)

    return run


def test_verifying_the_store_counts_what_is_whole(verify, store):
    put(store, "corpus/books", "books 1")
    result = verify()
    assert result.success
    (event,) = [event for event in result.all_events if event.is_successful_output]
    assert event.event_specific_data.metadata["artifacts"].value == 1


def test_verifying_the_store_names_a_file_that_changed(verify, store):
    artifact = put(store, "corpus/books", "books 1")
    (artifact.path / "data.txt").write_text("books 9")
    result = verify()
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "data.txt: its content is not what was built" in failure.step_failure_data.user_failure_data.description


def test_a_partial_job_says_what_is_missing_and_how_to_make_it(definitions):
    result = definitions.resolve_job_def("train_only").execute_in_process(raise_on_error=False)
    (failure, *_) = [event for event in result.all_events if event.is_step_failure]
    said = failure.step_failure_data.user_failure_data.description
    assert "tokenizer is not in the store" in said
    assert """dagster asset materialize --select '+key:"sample/tokenizer"'""" in said
