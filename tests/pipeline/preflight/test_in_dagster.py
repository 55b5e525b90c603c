"""A run that preflight refuses ends before its first step, of a whole job as of single assets; and assets in processes
of their own come to the same as in the run's."""

import json
import os
import subprocess
import sys

import dagster as dg
import pytest

from pipeline.assets.naming import Naming
from pipeline.base.errors import ProfileError
from pipeline.definitions import build_definitions
from pipeline.profile.profile import load_profile
from pipeline.store import Store


def job_of_the_environment():
    definitions = build_definitions(load_profile(), os.environ["SQUEEZE_HOME"])
    return definitions.resolve_job_def(os.environ["JOB_OF_THE_TEST"])


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Execute a job, or some of its assets, with the executor that its code location has."""
    monkeypatch.setenv("SQUEEZE_HOME", str(tmp_path / "store"))

    def execute(profile, job, assets=None, at_once=1):
        monkeypatch.setenv("SQUEEZE_PROFILE", str(profile))
        monkeypatch.setenv("JOB_OF_THE_TEST", job)
        keys = [Naming(load_profile().name).asset_key(key) for key in assets] if assets else None
        with dg.DagsterInstance.ephemeral() as instance:
            return dg.execute_job(
                dg.reconstructable(job_of_the_environment),
                instance,
                asset_selection=keys,
                run_config={"execution": {"config": {"assets_at_once": at_once}}},
                raise_on_error=False,
            )

    return execute


def failure_of(result):
    (event,) = [item for item in result.all_events if item.is_run_failure]
    return event.job_failure_data.error.message


def test_a_refused_run_starts_no_step_and_ends_with_what_to_set(run, own):
    result = run(own("launch: {ranks: 12}\ntraining: {device: cpu}\n"), "full_train")
    assert not result.success
    assert [event for event in result.all_events if event.step_key] == []
    assert "set launch.ranks to auto" in failure_of(result)


def test_assets_alone_are_looked_at_for_what_they_need(run, own):
    profile = own("launch: {ranks: 12}\n")
    assert run(profile, "curate", ["documents/mine"]).success  # nothing is trained
    refused = run(profile, "full_train", ["tokens/mine"])
    assert [event for event in refused.all_events if event.step_key] == []
    assert "tokens/mine needs corpus/mine" in failure_of(refused)


def test_a_job_without_assets_needs_no_preflight(run, own):
    assert run(own("training: {device: cuda}\n"), "verify_store").success


def contents(root):
    """{key: (content hash, run)} of every artifact."""
    return {item.key: (item.content_hash, item.manifest.built.run_id) for item in Store(root, "own").artifacts()}


@pytest.fixture
def materialized(own, tmp_path):
    """The artifacts that Dagster's command made of some assets, two at once, and what it wrote of the steps."""

    def command(assets):
        """In processes of its own: those that work on the assets import the code location as users' do."""
        config = {"loggers": {"console": {"config": {"log_level": "DEBUG"}}}}
        select = ",".join(f"own/{key}" for key in assets)
        words = ["asset", "materialize", "-m", "pipeline.definitions", "--select", select]
        here = {
            "SQUEEZE_HOME": str(tmp_path / "other"),
            "SQUEEZE_PROFILE": str(own()),
            "SQUEEZE_ASSETS_AT_ONCE": "2",
            "DAGSTER_HOME": "",
        }
        done = subprocess.run(
            [sys.executable, "-m", "dagster", *words, "--config-json", json.dumps(config)],
            env=os.environ | here,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return contents(tmp_path / "other"), done.stderr

    return command


def test_assets_in_processes_of_their_own_come_to_the_same_as_in_the_runs(run, own, tmp_path, materialized):
    assets = ["documents/mine", "heldout/mine"]
    assert run(own(), "curate", assets).success
    here = contents(tmp_path / "store")
    there, written = materialized(assets)
    assert here.keys() == set(assets)
    assert {key: content for key, (content, _) in there.items()} == {key: content for key, (content, _) in here.items()}
    assert len({made_by for _, made_by in there.values()}) == 1  # the run's, not a process's
    assert written.count("STEP_WORKER_STARTED") == len(there)
    assert "built documents/mine, heldout/mine" in written  # the run's own process knows what the others made


def test_fewer_than_one_asset_at_once_is_refused(run, own):
    with pytest.raises(ProfileError, match="assets_at_once is 0, and must be at least 1"):
        run(own(), "curate", ["documents/mine"], 0)
