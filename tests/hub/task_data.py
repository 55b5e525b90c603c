"""The data sets that lm-eval's tasks read: files, columns and README headers of the real ones, and made-up items.

Repositories, configurations and splits are those that lm-eval's task files name; columns are what those tasks read, and
what the data sets' cards say beside it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from tests.hub.server import Hub

Item = dict[str, Any]
_WORDS = (
    "the fox sleeps under a green tree while old dogs walk along the river and look for bread in the morning".split()
)


@dataclass(frozen=True)
class Items:
    """A data set of items in small."""

    id: str
    make: Callable[[random.Random, str], Item]
    """An item of a configuration."""
    files: Mapping[str, str]
    """Paths by split; `{config}` is filled in. Their ending says what they are, Parquet or JSON lines."""
    configs: tuple[str, ...] = ("default",)
    license: str | None = None
    gated: bool = False

    def readme(self) -> str:
        header: Item = {} if self.license is None else {"license": self.license}
        header["configs"] = [
            {
                "config_name": config,
                "data_files": [
                    {"split": split, "path": path.format(config=config)} for split, path in self.files.items()
                ],
            }
            for config in self.configs
        ]
        return f"---\n{yaml.safe_dump(header, sort_keys=False)}---\n\n# Items\n"


def _text(made: random.Random, words: int = 8) -> str:
    return " ".join(made.choices(_WORDS, k=words)).capitalize() + "."


def _hellaswag(made: random.Random, config: str) -> Item:
    first, second = _text(made), "the dog"
    return {
        "ind": made.randrange(10**5),
        "activity_label": "Walking",
        "ctx_a": first,
        "ctx_b": second,
        "ctx": f"{first} {second}",
        "endings": [_text(made).lower() for _ in range(4)],
        "source_id": f"activitynet~v_{made.randrange(10**6)}",
        "split": "val",
        "split_type": "indomain",
        "label": str(made.randrange(4)),
    }


def _piqa(made: random.Random, config: str) -> Item:
    return {"goal": _text(made), "sol1": _text(made), "sol2": _text(made), "label": made.randrange(2)}


def _arc(made: random.Random, config: str) -> Item:
    return {
        "id": f"{config}_{made.randrange(10**6)}",
        "question": f"{_text(made).rstrip('.')}?",
        "choices": {"text": [_text(made, 3) for _ in range(4)], "label": ["A", "B", "C", "D"]},
        "answerKey": made.choice("ABCD"),
    }


def _lambada(made: random.Random, config: str) -> Item:
    return {"text": f"{_text(made, 20)} {_text(made, 12).rstrip('.')}"}


def _belebele(made: random.Random, config: str) -> Item:
    return {
        "link": "https://example.org/wiki/Fox",
        "question_number": made.randint(1, 2),
        "flores_passage": _text(made, 30),
        "question": f"{_text(made).rstrip('.')}?",
        **{f"mc_answer{number}": _text(made, 3) for number in range(1, 5)},
        "correct_answer_num": str(made.randint(1, 4)),
        "dialect": config,
        "ds": "2023-05-03",
    }


def _xnli(made: random.Random, config: str) -> Item:
    return {"premise": _text(made), "hypothesis": _text(made), "label": made.randrange(3)}


def _blimp(made: random.Random, config: str) -> Item:
    noun = made.choice(("dogs", "foxes", "rivers"))
    return {
        "sentence_good": f"The {noun} sleep {_text(made).lower()}",
        "sentence_bad": f"The {noun} sleeps {_text(made).lower()}",
        "field": "syntax",
        "linguistics_term": "subject_verb_agreement",
        "UID": config,
        "simple_LM_method": True,
        "one_prefix_method": False,
        "two_prefix_method": False,
        "lexically_identical": False,
        "pair_id": made.randrange(1000),
    }


def _ewok(made: random.Random, config: str) -> Item:
    number = made.randrange(10**6)
    return {
        "Domain": "spatial-relations",
        "ConceptA": "left",
        "ConceptB": "right",
        "TargetDiff": "concept swap",
        "ContextDiff": "variable swap",
        "ContextType": "direct",
        "Target1": f"The fox {number} turns left.",
        "Target2": f"The fox {number} turns right.",
        "Context1": f"{_text(made)} The dog is on the left.",
        "Context2": f"{_text(made)} The dog is on the right.",
    }


def _parquet(folder: str, *splits: str) -> dict[str, str]:
    return {split: f"{folder}/{split}-00000-of-00001.parquet" for split in splits}


BENCHMARKS = (
    Items(
        "nyu-mll/blimp",
        _blimp,
        _parquet("{config}", "train"),
        configs=("causative", "regular_plural_subject_verb_agreement_1"),
        license="cc-by-4.0",
    ),
    Items("ewok-core/ewok-core-1.0", _ewok, _parquet("data", "test"), gated=True),
    Items("Rowan/hellaswag", _hellaswag, _parquet("data", "train", "validation", "test")),
    Items("baber/piqa", _piqa, {split: f"piqa_{split}.parquet" for split in ("train", "validation", "test")}),
    Items(
        "allenai/ai2_arc",
        _arc,
        _parquet("{config}", "train", "validation", "test"),
        configs=("ARC-Challenge", "ARC-Easy"),
        license="cc-by-sa-4.0",
    ),
    Items("EleutherAI/lambada_openai", _lambada, {"test": "data/lambada_test.jsonl"}, license="mit"),
    Items(
        "facebook/belebele",
        _belebele,
        {"test": "data/{config}.jsonl"},
        configs=("fra_Latn", "deu_Latn", "spa_Latn", "arb_Arab", "hin_Deva", "swh_Latn"),
        license="cc-by-sa-4.0",
    ),
    Items(
        "facebook/xnli",
        _xnli,
        _parquet("{config}", "train", "validation", "test"),
        configs=("fr", "de", "es", "ar", "hi", "sw"),
    ),
)


def add_benchmarks(hub: Hub, folder: Path, *, items: int = 6) -> None:
    """Put every data set of items on the hub, so many in each split, its files written below a folder."""
    for benchmark in BENCHMARKS:
        lying = {}
        for config in benchmark.configs:
            for split, pattern in benchmark.files.items():
                path = pattern.format(config=config)
                made = random.Random(f"{benchmark.id} {config} {split}")
                rows = [benchmark.make(made, config) for _ in range(items)]
                lying[path] = folder / benchmark.id / path
                lying[path].parent.mkdir(parents=True, exist_ok=True)
                if path.endswith(".parquet"):
                    pq.write_table(pa.Table.from_pylist(rows), lying[path])
                else:
                    lying[path].write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
        hub.add(benchmark.id, lying, readme=benchmark.readme(), gated=benchmark.gated)
    hub.add(
        "juletxara/xstory_cloze", {"xstory_cloze.py": "import datasets\n"}, readme="---\nlicense: cc-by-sa-4.0\n---\n"
    )
