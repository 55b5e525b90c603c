"""Two tiny arms with two seeds, by the job itself: to the end, reused, after a kill, and added up as numpy does."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import asdict

import dagster as dg
import numpy as np
import pytest

from pipeline.assets import ablations
from pipeline.definitions import build_definitions
from pipeline.profile.profile import load_profile
from pipeline.store import Store
from pipeline.study.runs.arm import finished_arms
from pipeline.study.runs.seed_process import SEED_FILE, SeedTask
from pipeline.study.sizes import measure_sizes
from tests.pipeline.engine.elsewhere import Elsewhere
from trainer.process.signals import EXIT_UNFINISHED
from trainer.run.checkpoints.checkpoint import newest_checkpoint

pytestmark = pytest.mark.slow

PROFILE = """\
corpora:
  web:
    sources: [{files: FOLDER/web.jsonl, group_field: page, lang: en}]
  tales:
    sources: [{files: FOLDER/tales.jsonl, group_field: page, lang: en}]
curation: {heldout: {share: 0.2}}
tokenizers: {candidates: [bpe_tiny], select: bpe_tiny, folder: FOLDER, sample: {bytes: 100_000}}
schedule: {stages: [{name: all, mixture: {web: 1, tales: 1}}]}
shards: {workers: 1}
model: {vocab_size: 300, context: 32, width: 32, layers: 1, heads: 2, ff_width: 64}
training:
  {batch_tokens: 256, optimizer: {learning_rate: 3e-3}, schedule: {warmup_steps: 2}, device: cpu, jump_factor: null}
evaluation: {suites: {bits_per_byte: {kind: bits_per_byte}}}
study:
  budget: {tokens: 10_240}
  seeds: [1, 2]
  points: 4
  heldout: {bytes: {web: 2_000, tales: 2_000}, curve_share: 0.5}
  baseline: plain
  data:
    base: {tokens: 12_000}
    twice: {tokens: 6_000, epochs: 2}
  arms:
    plain:
    fast: {idea: 7, keep_weights: true, keep_checkpoints: 2, change: {training.optimizer.learning_rate: 1e-2}}
    wild:
      change:
        {training.optimizer.learning_rate: 10, training.optimizer.clip_norm: null, training.optimizer.weight_decay: 1}
      seeds: [1]
"""
WORDS = "the a one old king fox river tree moon garden baker walked sang found bright quiet and so then while".split()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    generator = random.Random(1)
    for name in ("web", "tales"):
        rows = [
            {"text": " ".join(generator.choices(WORDS, k=60)).capitalize() + ".", "page": f"{name} {n}"}
            for n in range(150)
        ]
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "bpe_tiny.yaml").write_text("kind: bpe\nvocab_size: 300\n")
    (folder / "tiny.yaml").write_text(PROFILE.replace("FOLDER", str(folder)))
    return folder


def run_study(project, *changes, home="store", job=ablations.JOB):
    """Run a job in this process on a store of the project; returns the artifacts it leaves and its result."""
    text = (project / "tiny.yaml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = project / "changed.yaml"
    path.write_text(f"name: tiny\n{text}")
    profile = load_profile(str(path))
    definitions = build_definitions(profile, str(project / home))
    result = definitions.resolve_job_def(job).execute_in_process(instance=dg.DagsterInstance.ephemeral())
    assert result.success
    return Store(project / home, "tiny").open(), result


@pytest.fixture(scope="module")
def finished(project):
    return run_study(project)


def reused(result, key):
    (event,) = result.asset_materializations_for_node(key.replace("/", "__"))
    return event.tags["reused"] == "true"


def test_the_report_adds_up_what_the_runs_scored_as_numpy_does(finished):
    store, _ = finished
    ends = {
        arm: np.array(
            [run["bits_per_byte"]["all"] for run in store.current(f"ablation/{arm}").summary["seeds"].values()]
        )
        for arm in ("plain", "fast")
    }
    difference = ends["fast"] - ends["plain"]
    half = 12.706 * difference.std(ddof=1) / np.sqrt(2)
    (row,) = [row for row in store.current("ablation_report").summary["effects"] if row["arm"] == "fast"]
    assert row["equal_tokens"] == pytest.approx(difference.mean())
    assert row["equal_tokens_low"] == pytest.approx(difference.mean() - half)
    assert row["bits_per_byte"] == pytest.approx(ends["fast"].mean())


def test_arms_run_in_their_order_after_the_data_of_all(finished):
    _, result = finished
    made = [event.asset_key.path[1:] for event in result.get_asset_materialization_events()]
    arms = [path[1] for path in made if path[0] == "ablation"]
    assert arms == ["plain", "fast", "wild"]
    assert made.index(["ablation", "plain"]) > max(n for n, path in enumerate(made) if path[0] == "ablation_data")


def test_a_run_has_its_points_and_the_pooled_score_is_that_of_all_bytes(finished):
    store, _ = finished
    run = store.current("ablation/plain").summary["seeds"]["1"]
    assert [point["tokens"] for point in run["curve"]] == [2560, 5120, 7680, 10240]
    sizes = store.current("ablation_heldout").summary["bytes"]["final"]
    pooled = sum(run["bits_per_byte"][name] * size for name, size in sizes.items()) / sum(sizes.values())
    assert run["bits_per_byte"]["all"] == pytest.approx(pooled)
    assert run["curve"][-1]["all"] < run["curve"][0]["all"] < 8
    files = {file.name for file in store.current("ablation_seed/plain/1").path.iterdir()}
    assert not any(name.endswith(".safetensors") for name in files)  # metrics, not weights


def test_the_last_points_before_the_end_keep_the_weights_that_were_scored_there(finished):
    from pipeline.evaluation.loading import load_scorer
    from pipeline.study.runs.seed_process import POINTS, score_sample

    store, _ = finished
    run = store.current("ablation_seed/fast/1")
    assert sorted(place.name for place in (run.path / POINTS).iterdir()) == ["5120", "7680"]
    tokenizer = next(store.input_of(run, key) for key in run.manifest.inputs if key.startswith("tokenizer/"))
    scorer = load_scorer(run.path / POINTS / "5120", tokenizer.path)
    sample = store.current("ablation_heldout").path / "curve"
    point = run.summary["curve"][1]
    assert score_sample(scorer, sample, [])["all"] == pytest.approx(point["all"], abs=1e-5)
    assert not (store.current("ablation_seed/plain/1").path / POINTS).exists()


def test_runs_that_keep_their_weights_are_scored_again_from_files_of_few_bits(project, finished):
    store, _ = finished
    rows = measure_sizes(load_profile(str(project / "tiny.yaml")).study_plan, store, bits=[32, 8, 4])
    assert [(row["arm"], row["seed"], row["bits"]) for row in rows] == [
        ("fast", seed, bits) for seed in (1, 2) for bits in (32, 8, 4)
    ]
    for whole, eight, four in (rows[:3], rows[3:]):
        end = store.current("ablation/fast").summary["seeds"][str(whole["seed"])]["bits_per_byte"]["all"]
        assert whole["bits_per_byte"] == pytest.approx(end, abs=2e-5)
        assert eight["bits_per_byte"] == pytest.approx(end, abs=0.02)
        assert whole["bytes"] > 4 * whole["parameters"] > eight["bytes"] > four["bytes"]


def test_an_arm_learns_from_the_runs_of_others_and_counts_what_they_took(project, finished):
    taught = "    taught: {teachers: [fast, wise], change: {training.teacher_weight: 0.9}}\n    wild:\n"
    wise = "    wise: {seeds: [1], budget: {tokens: 5_120}}\n"
    store, result = run_study(project, ("    wild:\n", wise + taught))
    arms = [
        event.asset_key.path[2]
        for event in result.get_asset_materialization_events()
        if "ablation" in event.asset_key.path
    ]
    assert arms.index("taught") > max(arms.index("fast"), arms.index("wise"))
    artifact = store.current("ablation_seed/taught/1")
    assert {"ablation/fast", "ablation/wise"} <= artifact.manifest.inputs.keys()
    teachers = [store.current(f"ablation_seed/{run}") for run in ("fast/1", "fast/2", "wise/1")]
    learner = store.current("ablation_seed/plain/1").summary  # as large, for as many tokens
    summaries = [json.loads((teacher.path / "summary.json").read_text()) for teacher in teachers]
    passes = learner["flops_per_token"] * learner["tokens"]  # a third for each of the three
    assert artifact.summary["flops_per_token"] * artifact.summary["tokens"] == pytest.approx(
        passes + passes + sum(summary["flops"] for summary in summaries), rel=0.01
    )
    assert not (artifact.path / "model.safetensors").exists()  # nobody learns from this one


def test_a_run_that_diverges_is_a_result(finished):
    store, _ = finished
    (run,) = store.current("ablation/wild").summary["seeds"].values()
    assert run["state"] == "diverged"
    (row,) = [row for row in store.current("ablation_report").summary["effects"] if row["arm"] == "wild"]
    assert row["verdict"] == "diverged in 1 of 1 runs"


def test_the_job_again_builds_nothing_and_a_seed_more_only_that_seed(project, finished):
    _, again = run_study(project)
    assert all(reused(again, f"ablation/{arm}") for arm in ("plain", "fast"))
    before = {path.name: path.stat().st_mtime_ns for path in (project / "store/ablation_seed/plain/1").iterdir()}
    store, more = run_study(project, ("seeds: [1, 2]", "seeds: [1, 2, 3]"))
    assert not reused(more, "ablation/plain")
    assert set(store.current("ablation/plain").summary["seeds"]) == {"1", "2", "3"}
    after = {path.name: path.stat().st_mtime_ns for path in (project / "store/ablation_seed/plain/1").iterdir()}
    finished_names = [name for name in before if len(name) == 32]
    assert finished_names
    assert all(after[name] == before[name] for name in finished_names)


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_run_goes_on_and_ends_as_if_nothing_had_happened(project, finished, tmp_path, signum):
    store, _ = finished
    data = store.current("ablation_data/base")
    profile = load_profile(str(project / "tiny.yaml"))
    task = SeedTask(
        model=profile.model.to_dict(),
        training=asdict(profile.training) | {"seed": 1},
        budget={"tokens": 10_240},
        points=4,
        epochs=[data.path / epoch for epoch in data.summary["epochs"]],
        tokenizer=store.current("tokenizer/bpe_tiny").path,
        heldout=store.current("ablation_heldout").path,
    )
    task.write(tmp_path / SEED_FILE)
    words = [sys.executable, "-m", "pipeline.study.runs.seed_process", str(tmp_path)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    first = subprocess.Popen(words, env=environment)
    while first.poll() is None and newest_checkpoint(tmp_path / "checkpoints") is None:
        time.sleep(0.01)
    first.send_signal(signum)
    assert first.wait() == (-signum if signum == signal.SIGKILL else EXIT_UNFINISHED)
    assert not (tmp_path / "result.json").exists()
    subprocess.run(words, env=environment, check=True)
    result = json.loads((tmp_path / "result.json").read_text())
    whole = store.current("ablation_seed/plain/1").summary
    assert result["bits_per_byte"] == whole["bits_per_byte"]
    assert result["curve"] == whole["curve"]
    assert result["tokens_per_second"] is None  # a run in two pieces has no speed


@pytest.fixture
def elsewhere(project, tmp_path, monkeypatch):
    """All that can goes to a machine that shares no file with the run."""
    pytest.importorskip("obstore", reason="obstore is missing: pip install '.[s3]'")
    home = project / "elsewhere"
    executor = Elsewhere(tmp_path, home, home, monkeypatch)
    monkeypatch.setattr("pipeline.assets.stored_asset.executor_of", lambda *_, **__: executor)
    return executor


def test_an_arms_runs_are_the_same_on_machines_that_share_no_file(project, finished, elsewhere):
    here, _ = finished
    taught = "    taught: {teachers: [fast], data: twice, seeds: [1]}\n"
    changes = [("  points: 4\n", "  points: 4\n  seeds_at_once: 1\n"), ("    wild:\n", f"{taught}    wild:\n")]
    store, _ = run_study(project, *changes, home="elsewhere")
    assert "run_seed_alone" in elsewhere.parts
    for arm in ("plain", "fast", "wild"):
        assert store.current(f"ablation/{arm}").content_hash == here.current(f"ablation/{arm}").content_hash
    assert store.current("ablation/taught").summary["seeds"]["1"]["state"] == "finished"
    kept = {file.name for file in store.current("ablation_seed/fast/1").path.iterdir()}
    assert {"result.json", "model.safetensors"} <= kept
    assert not kept & {"lock", "seed.json", "output.txt", "checkpoints"}


def test_suites_are_the_same_on_machines_that_share_no_file(project, elsewhere, monkeypatch):
    suites = "bits_per_byte: {kind: bits_per_byte}"
    short = "schedule: {tokens_per_epoch: 4_000, stages"
    more = [(suites, f"{suites}, samples: {{kind: samples, new_tokens: 4}}"), ("schedule: {stages", short)]
    there, _ = run_study(project, *more, home="elsewhere", job="full_train")
    assert "evaluate_suite" in elsewhere.parts
    monkeypatch.undo()
    here, _ = run_study(project, *more, job="full_train")
    for key in ("model", "eval/bits_per_byte", "eval/samples", "scorecard"):
        assert there.current(key).content_hash == here.current(key).content_hash


def test_only_runs_that_the_study_would_reuse_are_exported(project, finished):
    store, _ = finished

    def found(**changes):
        profile = load_profile(str(project / "tiny.yaml"), changes)
        return set(finished_arms(profile.study_plan, store).get("plain", ()))

    assert found() == {1, 2}
    assert found(training={"optimizer": {"weight_decay": 0.2}}) == set()
    assert found(study={"heldout": {"apart": ["web"]}}) == set()
    assert found(study={"arms": {"plain": {"data": "twice"}}}) == set()


def test_epochs_repeat_the_same_documents_in_another_order(finished):
    from trainer.data.shards import read_manifest
    from trainer.data.streams import open_stage

    store, _ = finished
    data = store.current("ablation_data/twice")
    epochs = []
    for epoch in data.summary["epochs"]:
        manifest = read_manifest(data.path / epoch)
        (stage,) = manifest.stages
        stream = open_stage((data.path / epoch).parent, stage, manifest.tokenizer)
        epochs.append(np.empty(len(stream), dtype=np.int64))
        stream.copy(0, epochs[-1])
    assert len(epochs[0]) == data.summary["tokens"]
    assert not np.array_equal(*epochs)
    assert np.array_equal(*map(np.sort, epochs))
