"""A team's Dagster, by the commands and settings of packaging/docker: two runs of one queue on one store, which share
what they build and do not train at the same time."""

import os
import sys
from pathlib import Path

import dagster as dg
import pytest

from pipeline.store import Store
from tests.cluster.team_services import Team, postgres_programs, wait_for

sys.path.append(str(Path(__file__).parents[1] / "end_to_end"))
from tiny_project import Project

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600)]
RATES = (0.001, 0.006)
OVER = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}


@pytest.fixture
def team(tmp_path, monkeypatch):
    pytest.importorskip("dagster_postgres", reason="pip install 'squeeze-gpt[postgres]'")
    if postgres_programs() is None:
        pytest.skip("no Postgres here: apt-get install postgresql")
    with Team(Project(tmp_path)).running() as running:
        for name, value in running.variables.items():
            monkeypatch.setenv(name, value)
        yield running


def launched(team, name, rate):
    """A full_train with a learning rate of its own, handed to the queue; SQUEEZE_ASSETS_AT_ONCE has no part in it."""
    config = team.home / f"{name}.yaml"
    config.write_text(f"ops: {{model: {{config: {{optimizer: {{learning_rate: {rate}}}}}}}}}\n")
    words = ["dagster", "job", "launch", "-w", str(team.workspace), "-j", "full_train", "-c", str(config)]
    team.project.run(*words, **team.variables)


def trained_from_to(instance, run):
    """When a run's trainer was at work."""
    events = {
        record.event_log_entry.dagster_event_type: record.timestamp
        for record in instance.get_records_for_run(run.run_id).records
        if record.event_log_entry.step_key == "model"
    }
    return events[dg.DagsterEventType.STEP_START], events[dg.DagsterEventType.STEP_SUCCESS]


def test_two_queued_runs_share_what_they_build_and_train_one_after_the_other(team):
    for number, rate in enumerate(RATES):
        launched(team, f"run{number}", rate)
    with dg.DagsterInstance.from_ref(dg.DagsterInstance.get().get_ref()) as instance:
        assert type(instance.run_storage).__name__ == "PostgresRunStorage"
        wait_for(lambda: {run.status for run in instance.get_runs()} <= OVER, "end of both runs")
        runs = instance.get_runs()
        logs = "\n".join(file.read_text()[-3000:] for file in team.home.glob("*.log"))
        assert [run.status for run in runs] == [dg.DagsterRunStatus.SUCCESS] * 2, logs
        (first, second) = sorted(trained_from_to(instance, run) for run in runs)
        assert first[1] <= second[0]
    store = Store(Path(os.environ["SQUEEZE_HOME"]), "tiny").open()
    made_by = [(item.key, item.manifest.built.run_id) for item in store.artifacts()]
    assert {run_id for _, run_id in made_by} == {run.run_id for run in runs}
    assert len([key for key, _ in made_by if key == "model"]) == 2
    before = [key for key, _ in made_by if key.startswith(("documents/", "corpus/", "tokens/", "shards/"))]
    assert len(before) == len(set(before))
