"""What a run found comes back from its JSON, and its hash says nothing of how long it took."""

import dataclasses
import hashlib
import json

from pipeline.study.results.run_result import DIVERGED, FINISHED, RunResult

FACTS = {
    "parameters": {"total": 3, "embedding": 1, "active": 2},
    "flops_per_token": 5,
    "bytes_per_token": 2.0,
    "vocab_size": 7,
    "steps": 1,
    "tokens": 10,
}
FINISHED_RUN = RunResult(
    **FACTS,
    state=FINISHED,
    curve=[{"tokens": 10, "all": 1.1}],
    bits_per_byte={"all": 1.0},
    benchmarks={"piqa": {"acc": 0.5, "items": 4}},
    final_train_loss=2.0,
    seconds=3.0,
)
DIVERGED_RUN = RunResult(**FACTS, state=DIVERGED, message="the loss is nan")


def test_json_gives_the_result_back():
    for result in (FINISHED_RUN, DIVERGED_RUN):
        assert RunResult.read(json.loads(json.dumps(result.to_json()))) == result


def test_a_run_that_diverged_has_no_figures_of_an_end_and_one_that_finished_no_message():
    assert list(DIVERGED_RUN.to_json()) == [*FACTS, "state", "message", "curve", "bits_per_byte"]
    assert set(FINISHED_RUN.to_json()) - set(FACTS) == {
        *("state", "curve", "bits_per_byte", "benchmarks"),
        *("final_train_loss", "seconds", "cpu_seconds", "tokens_per_second"),
    }


def test_the_hash_is_of_what_was_found_and_not_of_how_long_it_took():
    assert dataclasses.replace(FINISHED_RUN, seconds=9.0).content_hash() == FINISHED_RUN.content_hash()
    assert dataclasses.replace(FINISHED_RUN, tokens=11).content_hash() != FINISHED_RUN.content_hash()
    content = {"state": DIVERGED, "tokens": 10, "curve": [], "bits_per_byte": {}, "benchmarks": None}
    expected = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    assert DIVERGED_RUN.content_hash() == expected
