"""Two runs of one profile at once: each builds on its own artifacts to its end, and what is current is one run's."""

import logging

import pytest

from pipeline.store import Built, Store
from pipeline.store.collection import collect, garbage
from pipeline.store.running import Footing

CHAIN = ("documents", "model", "eval", "scorecard")


def opened(root, run_id=None, parent=None):
    store = Store(root, "sample").open()
    return store.for_run(run_id, parent) if run_id else store


def of_another_process(root, run_id):
    """The store as a process sees it that a run has started for one asset."""
    store = opened(root)
    store.run_id = run_id
    store.footing = Footing(store.backend, "sample", run_id)
    return store


def make(store, key, rate=0):
    """An artifact of the chain, made from the one before it; the model alone depends on the rate."""
    place = CHAIN.index(key)
    inputs = {CHAIN[place - 1]: store.current(CHAIN[place - 1])} if place else {}

    def build(out):
        text = "".join(item.content_hash for item in inputs.values()) + (f"{key} {rate} " if key == "model" else key)
        (out / "data.txt").write_text(text)
        return Built(text)

    identity = {"rate": rate} if key == "model" else {}
    return store.ensure(key, code_version="1", identity=identity, inputs=inputs, build=build).artifact


def made_from(store, artifact):
    return {item.key: item.manifest.identity.get("rate") for item in store.ancestry(artifact).values()}["model"]


@pytest.fixture
def root(tmp_path):
    store = opened(tmp_path / "store")
    for key in CHAIN:
        make(store, key)
    return store.root


def current_rates(root):
    store = opened(root)
    return {made_from(store, store.current(key)) for key in CHAIN[1:]}


def test_two_runs_at_once_do_not_mix(root, caplog):
    slow, quick = opened(root, "slow"), opened(root, "quick")
    for run in (slow, quick):
        run.look_ahead(CHAIN)
    for run in (quick, slow):
        make(run, "documents")
    make(quick, "model", rate=2)
    with caplog.at_level(logging.WARNING):
        make(slow, "model", rate=1)
    assert "another run of the profile sample has made a model of its own current" in caplog.text
    for key in CHAIN[2:]:
        assert made_from(slow, make(slow, key)) == 1
        assert made_from(quick, make(quick, key)) == 2
    assert made_from(slow, slow.current("scorecard")) == 1
    assert current_rates(root) == {2}


def test_who_scores_the_old_model_while_another_is_trained_does_not_stand_in_its_way(root):
    scoring, training = opened(root, "scoring"), opened(root, "training")
    for run in (scoring, training):
        run.look_ahead(CHAIN)
    make(training, "model", rate=3)
    assert made_from(scoring, make(scoring, "eval")) == 0
    make(training, "eval")
    make(scoring, "scorecard")
    make(training, "scorecard")
    assert current_rates(root) == {3}


def test_what_became_current_from_an_older_model_in_the_middle_of_a_run_gives_way(root):
    training = opened(root, "training2")
    training.look_ahead(CHAIN)
    make(training, "model", rate=4)
    for key in CHAIN[2:]:
        make(training, key)
    assert current_rates(root) == {4}
    again = opened(root, "again")
    again.look_ahead(CHAIN)
    assert made_from(again, again.current("eval")) == 4


def test_a_run_that_goes_on_from_a_failed_one_stands_on_what_that_one_made(root):
    failed = opened(root, "failed")
    failed.look_ahead(CHAIN)
    make(failed, "model", rate=5)
    failed.footing.end(keep=True)
    make(opened(root), "model", rate=6)
    resumed = opened(root, "resumed", parent="failed")
    assert made_from(resumed, make(resumed, "eval")) == 5


def test_processes_of_one_run_stand_on_the_same_and_hear_of_one_another(root, caplog):
    run = opened(root, "shared")
    run.look_ahead(CHAIN)
    one, other = of_another_process(root, "shared"), of_another_process(root, "shared")
    make(opened(root), "model", rate=6)  # somebody else's, of which the run takes no notice
    with caplog.at_level(logging.WARNING):
        mine = make(one, "model", rate=5)
    assert made_from(other, make(other, "eval")) == 0  # it began before there was a model of the run's own
    third = of_another_process(root, "shared")
    assert made_from(third, make(third, "eval")) == 5
    assert caplog.text.count("another run of the profile sample has made a model of its own current") == 1
    assert mine.fingerprint not in {item.fingerprint for item in garbage(opened(root))}
    run.footing.catch_up()
    assert run.footing.own.keys() == {"model", "eval"}
    assert run.footing.behind == "model"
    third.footing.end()
    assert (root / ".runs/shared.json").exists()  # it ends with the process that began it
    run.footing.end()
    assert list((root / ".runs").iterdir()) == []


def test_a_key_that_had_nothing_when_the_run_began_has_nothing_in_its_other_processes_either(tmp_path):
    run = opened(tmp_path / "store", "shared")
    run.look_ahead(CHAIN)
    make(opened(run.root), "documents")
    assert of_another_process(run.root, "shared").find_current("documents") is None


def test_a_run_whose_first_process_is_gone_is_begun_anew(root):
    killed = opened(root, "killed")
    killed.look_ahead(CHAIN)
    killed.footing._lock.close()
    assert not of_another_process(root, "killed").footing.joined


def test_collection_keeps_what_a_run_at_work_stands_on_and_forgets_runs_that_are_over(root):
    losing = opened(root, "losing")
    losing.look_ahead(CHAIN)
    make(opened(root), "model", rate=8)
    mine = make(losing, "model", rate=7)
    store = opened(root)
    assert mine.fingerprint not in {item.fingerprint for item in garbage(store)}
    make(losing, "eval")
    losing.footing.end()
    doomed = garbage(store)
    assert mine.fingerprint in {item.fingerprint for item in doomed}
    assert collect(store, doomed) == []
    assert list((root / ".runs").iterdir()) == []


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"profile": "sample"}', '{"profile": "sample", "artifacts": {"model": "../x"}}']
)
def test_while_nobody_can_say_what_a_run_at_work_stands_on_everything_is_kept(root, text):
    losing = opened(root, "losing")
    losing.look_ahead(CHAIN)
    make(opened(root), "model", rate=8)
    mine = make(losing, "model", rate=7)
    store = opened(root)
    old = [item for item in garbage(store) if item.fingerprint != mine.fingerprint]
    record = root / ".runs/losing.json"
    record.write_text(text)
    notes = []
    assert garbage(store, notes=notes) == []
    assert "losing.json: not what a run stands on" in notes[-1]
    assert collect(store, old) == old
    assert mine.path.is_dir()
    losing.footing.end(keep=True)
    resumed = opened(root, "resumed", parent="losing")
    assert resumed.footing.own == {}
    assert {item.fingerprint for item in garbage(store)} >= {mine.fingerprint}


def test_a_pointer_that_is_right_is_not_written(root):
    pointers = {file: file.stat().st_ino for file in root.rglob("CURRENT.*")}
    run = opened(root, "reusing")
    run.look_ahead(CHAIN)
    for key in CHAIN:
        make(run, key)
    assert {file: file.stat().st_ino for file in root.rglob("CURRENT.*")} == pointers
