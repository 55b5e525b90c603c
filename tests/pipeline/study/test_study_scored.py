"""Suites over a study's runs: those that kept their weights, each scored once."""

import dataclasses
import json
import shutil

import pytest
import torch

from pipeline.base.errors import StudyError
from pipeline.profile.profile import load_profile
from pipeline.store import Built, Store
from pipeline.study.results.run_result import DIVERGED, FINISHED, RunResult
from pipeline.study.runs.seed_process import POINTS
from pipeline.study.runs.seeds import DATA, HELDOUT, SEED_VERSION, seed_identity, seed_inputs, seed_key
from pipeline.study.scored import COLUMNS, score_runs

TEXT = "The king sees the girl in the garden. The girl sleeps. The dogs run near the river. " * 20


@pytest.fixture(scope="module")
def profile():
    return load_profile("signal")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    import pyarrow as pa
    import pyarrow.parquet as pq

    from pipeline.tokenization.training.bpe import BpeSpec
    from pipeline.tokenization.training.build import build_tokenizer

    mixture, folder = tmp_path_factory.mktemp("mixture"), tmp_path_factory.mktemp("tokenizer")
    sample = {"text": [TEXT], "lang": ["en"], "corpus": ["books"], "bytes": pa.array([len(TEXT)], pa.uint32())}
    pq.write_table(pa.table(sample), mixture / "sample.parquet")
    spec = BpeSpec(kind="bpe", vocab_size=280, pattern="gpt2")
    build_tokenizer("small", spec, folder, cache=mixture, folder=mixture, mixture=mixture)
    return folder


def write_model(folder):
    from safetensors.torch import save_file

    from trainer.model import GPT, ModelConfig
    from trainer.run.checkpoints.tensors import model_tensors

    torch.manual_seed(0)
    config = ModelConfig(vocab_size=280, context=64, width=32, layers=1, heads=2)
    tensors = {name: tensor.contiguous() for name, tensor in model_tensors(GPT(config)).items()}
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config.to_dict()))


@pytest.fixture
def store(tmp_path, profile, tokenizer):
    """A store in which three runs have finished, one of them without weights, and one has diverged."""
    plan = profile.study_plan
    store = Store(tmp_path / "store", profile.name, origin=profile.origin).open()

    def made(key, build, **given):
        given = {"code_version": "1", "identity": {}, "inputs": {}} | given
        return store.ensure(key, build=build, **given).artifact

    def copy(out):
        shutil.copytree(tokenizer, out, dirs_exist_ok=True)
        return Built("tokenizer")

    parents = {key: made(key, lambda _: Built("x")) for key in (HELDOUT, f"{DATA}/base")}
    parents["tokenizer/bpe_2k"] = made("tokenizer/bpe_2k", copy)
    counts = {"total": 1, "embedding": 1, "active": 1}
    result = RunResult(counts, 1.0, 1.0, 280, 1, 1, FINISHED, bits_per_byte={"all": 2.0})

    def build_run(state, *, weights, points):
        def build(out):
            if weights:
                write_model(out)
            if points:
                (out / POINTS / "500").mkdir(parents=True)
                write_model(out / POINTS / "500")
            return Built("run", dataclasses.replace(result, state=state).to_json())

        return build

    runs = {("baseline", 1): (FINISHED, True), ("baseline", 2): (FINISHED, False), ("rope", 3): (FINISHED, True)}
    for (name, seed), (state, weights) in {**runs, ("lean", 1): (DIVERGED, True)}.items():
        arm = plan.arm(name)
        inputs = {key: parents[key] for key in seed_inputs(plan, arm, seed)}
        made(
            seed_key(name, seed),
            build_run(state, weights=weights, points=name == "rope"),
            code_version=SEED_VERSION,
            identity=seed_identity(plan, arm, seed),
            inputs=inputs,
        )
    return store


def evaluation(profile, **suites):
    return profile.evaluation.model_copy(update={"suites": suites})


def test_finished_runs_with_weights_are_scored_and_are_not_scored_again(profile, store, caplog):
    from pipeline.evaluation.suites.bits_per_byte import BitsPerByteSuite
    from pipeline.evaluation.suites.minimal_pairs import MinimalPairsSuite

    pairs = MinimalPairsSuite(languages=("en",), pairs=2)
    suites = evaluation(profile, pairs=pairs, held_out=BitsPerByteSuite())
    rows = score_runs(profile.study_plan, store, suites)
    assert {(row["arm"], row["seed"], row["suite"]) for row in rows} == {("baseline", 1, "pairs"), ("rope", 3, "pairs")}
    assert all(tuple(row) == COLUMNS for row in rows)
    of_rope = [row for row in rows if (row["arm"], row["task"], row["metric"]) == ("rope", "minimal_pairs", "acc")]
    score, on_the_way = of_rope
    assert (score["checkpoint"], on_the_way["checkpoint"]) == (None, 500)
    assert on_the_way["value"] == score["value"]  # the same weights
    assert (score["count"], score["higher_is_better"]) == (14, True)
    before = sorted(store.root.glob("ablation_scores/*/*/*/*/scores.json"))
    before += sorted(store.root.glob("ablation_scores/*/*/*/500/*/scores.json"))
    assert len(before) == 3
    times = [file.stat().st_mtime_ns for file in before]
    assert score_runs(profile.study_plan, store, suites) == rows
    assert [file.stat().st_mtime_ns for file in before] == times


def test_a_study_without_weights_or_without_suites_is_told_what_to_do(profile, tmp_path):
    empty = Store(tmp_path, profile.name, origin=profile.origin).open()
    with pytest.raises(StudyError, match="no suite to score the runs by: name some under"):
        score_runs(profile.study_plan, empty, evaluation(profile))
    with pytest.raises(StudyError, match="no finished run has kept its weights: set keep_weights"):
        score_runs(profile.study_plan, empty, profile.evaluation)
