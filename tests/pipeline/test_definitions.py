"""A profile has names of its own in Dagster, alone or beside others: no page mixes the histories of two."""

import dagster as dg
import pytest

from pipeline.assets.naming import Naming
from pipeline.base.errors import ProfileError
from pipeline.definitions import build_definitions, build_repositories
from pipeline.profile.profile import load_profile


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Write own profiles of these names and say which the UI shall show."""

    def show(*names):
        files = [tmp_path / str(place) / f"{name}.yaml" for place, name in enumerate(names)]
        for file in files:
            file.parent.mkdir()
            file.write_text("extends: sample\n")
        monkeypatch.setenv("SQUEEZE_PROFILES", ",".join(map(str, files)))
        return build_repositories(str(tmp_path / "store"))

    return show


def keys(repository):
    return {key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()}


def test_keys_begin_with_the_profiles_name_and_steps_do_not(tmp_path):
    definitions = build_definitions(load_profile("sample"), str(tmp_path))
    job = definitions.resolve_job_def("full_train")
    assert "sample/shards/epoch_001" in {key.to_user_string() for key in job.asset_layer.selected_asset_keys}
    steps = {node.name for node in job.nodes}
    assert {"model", "shards__epoch_001", "corpus__books_not_empty"} <= steps


def test_two_profiles_stand_side_by_side_with_keys_groups_and_jobs_of_their_own(own):
    one, other = own("mine", "night-run").values()
    assert (one.name, other.name) == ("mine", "night_run")
    assert {"mine/model", "mine/corpus/books"} <= keys(one)
    assert {"night-run/model", "night-run/corpus/books"} <= keys(other)
    groups = {one.asset_graph.get(key).group_name for key in one.asset_graph.get_all_asset_keys()}
    assert groups >= {"mine_sources", "mine_training"}
    for repository in (one, other):
        selected = repository.get_job("train_only").asset_layer.selected_asset_keys
        assert {key.path[1] for key in selected} == {"model", "model_hf"}
        assert not repository.get_job("full_train").asset_layer.selected_asset_keys - {
            dg.AssetKey(key.split("/")) for key in keys(repository)
        }


def test_two_profiles_of_one_name_are_refused_for_they_would_share_a_history(own):
    with pytest.raises(ProfileError, match=r"two profiles called 'mine'.*a `name:` of its own"):
        own("mine", "mine")


def test_without_several_there_is_the_one_of_squeeze_profile(monkeypatch, tmp_path):
    monkeypatch.delenv("SQUEEZE_PROFILES", raising=False)
    monkeypatch.setenv("SQUEEZE_PROFILE", "laptop")
    (repository,) = build_repositories(str(tmp_path)).values()
    assert repository.name == "laptop"
    assert {repository.asset_graph.get(dg.AssetKey(["laptop", "model"])).group_name} == {"laptop_training"}


@pytest.mark.parametrize("profile", ["sample", "my.run-2 b", "опыт", "a+b"])
def test_a_repository_has_a_name_that_dagster_takes(profile):
    assert dg.create_repository_using_definitions_args(Naming(profile).repository).name


def test_names_that_lose_letters_stay_apart():
    assert Naming("опыт").repository != Naming("тест").repository


def test_every_run_says_its_profile_and_where_its_job_is_from(tmp_path):
    """As of `dagster asset materialize`, whose runs come without tags, and of `dagster job execute` alike."""
    definitions = build_definitions(load_profile("sample"), str(tmp_path / "store"))
    instance = dg.DagsterInstance.ephemeral()
    for job, selection in (("verify_store", None), ("__ASSET_JOB", [dg.AssetKey(["sample", "tokenizer"])])):
        found = (
            definitions.resolve_job_def(job)
            if selection is None
            else definitions.resolve_implicit_global_asset_job_def()
        )
        result = found.execute_in_process(instance=instance, asset_selection=selection, raise_on_error=False)
        run = instance.get_run_by_id(result.run_id)
        assert run.tags["profile"] == "sample"
        assert run.tags[".dagster/repository"] == "sample@pipeline"
        assert run.remote_job_origin.repository_origin.repository_name == "sample"
        assert run.remote_job_origin.location_name == "pipeline"
