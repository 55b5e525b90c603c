"""A study of a few arms and runs of it whose curves one can work out by hand: what the tests of results start from."""

from pipeline.study.report.page import markdown
from pipeline.study.results.effects import effects
from pipeline.study.results.results import Results
from pipeline.study.results.runs_table import Run
from pipeline.study.settings import StudySettings

T2 = 4.303  # Student's 97.5% quantile at two degrees of freedom, for three seeds
CORPORA = ("books", "web")


def small_study():
    changes = {
        "baseline": {},
        "rope": {"model.position": "rope"},
        "gate": {"model.attention_input": "4n"},
        "squeezed": {"model.position": "rope", "training.optimizer.kind": "muon"},
        "bpe_4k": {},
        **{f"lr_{rate}": {"training.optimizer.learning_rate": 1e-3} for rate in ("x2", "x3", "x6")},
    }
    return StudySettings(
        budget={"tokens": 8000},
        data={"base": {"tokens": 8000}, "bpe_4k": {"tokens": 8000, "tokenizer": "bpe_4k"}},
        heldout={"bytes": dict.fromkeys(CORPORA, 1000)},
        baseline="baseline",
        tuned=("baseline", "lr_x2", "lr_x3", "lr_x6"),
        recipe="squeezed",
        ideas=("initialisation", "gate", "MLP", "experts", "RoPE", {"title": "evaluation", "shows": "spread"}),
        questions=[
            {"kind": "reaches", "arm": "squeezed", "most_tokens": 0.3333, "most_time": 0.5},
            {"kind": "best_of_tuned"},
        ],
        arms={
            name: {"idea": 5 if name == "rope" else 0, "change": change, "data": name if name == "bpe_4k" else None}
            for name, change in changes.items()
        },
    )


def run(arm, seed, end, *, tokens=8000, flops=10.0, state="finished", vocab=2048, bytes_per_token=2.5, against=None):
    """A run whose curves fall linearly in four points from 8 bits per byte to its end, 0.1 above the whole sample's."""
    scores = {"all": end, "books": end + 1, "web": end - 1}
    curves = {
        name: [(tokens * k // 4, 8 + (score + 0.1 - 8) * k / 4) for k in range(1, 5)] for name, score in scores.items()
    }
    return Run(
        arm,
        0,
        arm,
        against or "baseline",
        seed,
        state,
        vocab,
        600_000,
        200_000,
        600_000,
        tokens,
        bytes_per_token,
        flops,
        13_000.0,
        scores if state == "finished" else {},
        curves if state == "finished" else {},
    )


BASE = {1: 3.0, 2: 3.2, 3: 3.1}
ROPE = {1: 2.9, 2: 3.05, 3: 2.98}


def runs(*more):
    return [
        *(run("baseline", seed, end) for seed, end in BASE.items()),
        *(run("rope", seed, end) for seed, end in ROPE.items()),
        *more,
    ]


def results(study, items, speed=None):
    return Results(study.design(), items, speed or {})


def effect_of(study, arm, items, speed=None):
    return next(item for item in effects(results(study, items, speed)) if item.arm == arm)


def page(study, items, speed=None):
    of_runs = results(study, items, speed)
    return markdown(of_runs, effects(of_runs), study)
