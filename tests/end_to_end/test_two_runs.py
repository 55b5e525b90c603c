"""Two runs of one profile at once, each with a learning rate of its own: no result of one is made from the other."""

import subprocess

import pytest
from tiny_project import BIN, Project

from pipeline.store import Store

pytestmark = pytest.mark.slow
RATES = (0.001, 0.006)
LOST = "has made a model of its own current"


def start(project, rate):
    config = project.folder / f"{rate}.yaml"
    config.write_text(f"ops: {{model: {{config: {{optimizer: {{learning_rate: {rate}}}}}}}}}\n")
    words = [str(BIN / "dagster"), "job", "execute", "-j", "full_train", "-c", str(config)]
    log = (project.folder / f"{rate}.log").open("w")
    return subprocess.Popen(words, cwd=project.folder, env=project.environment(), stdout=log, stderr=subprocess.STDOUT)


def test_each_run_scores_its_own_model_and_what_is_current_is_of_one(tmp_path):
    project = Project(tmp_path)
    project.run("dagster", "asset", "materialize", "--select", '+key:"tiny/schedule"')
    runs = [start(project, rate) for rate in RATES]
    assert [run.wait(400) for run in runs] == [0, 0]
    assert sum(LOST in (tmp_path / f"{rate}.log").read_text() for rate in RATES) == 1
    store = Store(tmp_path / ".squeeze", "tiny").open()
    results = [item for item in store.artifacts() if "model" in item.manifest.inputs]
    models = {item.fingerprint: item for item in store.artifacts("model")}
    assert len(models) == 2
    for item in results:
        assert item.manifest.built.run_id == models[item.manifest.inputs["model"].fingerprint].manifest.built.run_id
    current = {
        item.manifest.built.run_id for _, _, item in store.pointers() if item and "model" in item.manifest.inputs
    }
    assert current == {store.current("model").manifest.built.run_id}
