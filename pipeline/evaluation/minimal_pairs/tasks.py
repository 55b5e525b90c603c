"""Minimal pairs as tasks of lm-eval: a choice between two sentences, of which the likelier one counts.

In: languages, how many pairs of each phenomenon, a seed. Out: a folder of task files, for a suite or for lm-eval's own
command line, whose items are made as they are loaded: no data are fetched. A task is `minimal_pairs_fr_agreement`,
its language's group `minimal_pairs_fr`, and `minimal_pairs` the group of all; `minimal_pairs_supplement` is beside it.

lm-eval takes the first of two equally likely choices, so the well-formed sentence comes second: a tie counts as wrong.

    python -m pipeline.evaluation.minimal_pairs.tasks my_tasks
    lm_eval --model squeeze --model_args path=... --include_path my_tasks --tasks minimal_pairs
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from pipeline.base.errors import EvaluationError
from pipeline.base.files import write_text
from pipeline.evaluation.minimal_pairs import english, french, german, italian, spanish, supplement
from pipeline.evaluation.minimal_pairs.rules import Pair, Rules, draw_pairs

if TYPE_CHECKING:
    from datasets import DatasetDict

Language = Literal["en", "fr", "es", "de", "it"]
LANGUAGES: Final[Mapping[Language, Rules]] = {
    "en": english.RULES,
    "fr": french.RULES,
    "es": spanish.RULES,
    "de": german.RULES,
    "it": italian.RULES,
}
SUPPLEMENT: Final = "supplement"
RULES: Final[Mapping[str, Rules]] = dict[str, Rules](LANGUAGES.items()) | {SUPPLEMENT: supplement.RULES}
GROUP: Final = "minimal_pairs"
SUPPLEMENT_GROUP: Final = f"{GROUP}_{SUPPLEMENT}"
"""Which stands beside the group of all languages, and not in it."""
PAIRS_VERSION: Final = "1.0"
"""Of the items: moves with the rules and the words."""
PAIRS: Final = 100
MOST_PAIRS: Final = 1000
"""Which every rule has."""
SEED: Final = 1

TASK: Final = """\
task: {task}
dataset_path: arrow
custom_dataset: !function pipeline.evaluation.minimal_pairs.tasks.load
dataset_kwargs: {{language: {language}, phenomenon: {phenomenon}, pairs: {pairs}, seed: {seed}}}
test_split: test
output_type: multiple_choice
num_fewshot: 0
doc_to_text: ""
target_delimiter: ""
doc_to_choice: "{{{{[bad, good]}}}}"
doc_to_target: 1
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
metadata: {{version: {version}}}
"""


def pairs_of(language: str, phenomenon: str, count: int, seed: int) -> list[Pair]:
    """`count` different pairs of a language or of the supplement. Raises EvaluationError where the rule has no more."""
    return draw_pairs(RULES[language][phenomenon], count, f"{seed}/{language}/{phenomenon}")


def load(language: str, phenomenon: str, pairs: int, seed: int, **_: Any) -> DatasetDict:
    """A task's items, for lm-eval's `custom_dataset` (which also passes the task's metadata along)."""
    from datasets import Dataset, DatasetDict

    rows = [pair._asdict() for pair in pairs_of(language, phenomenon, pairs, seed)]
    return DatasetDict({"test": Dataset.from_list(rows)})


def write_tasks(folder: Path, languages: Sequence[Language], *, pairs: int = PAIRS, seed: int = SEED) -> None:
    """Write a file for each task, each language's group, the group of all, and the same of the supplement."""
    for language in (*languages, SUPPLEMENT):
        names = {f"{GROUP}_{language}_{phenomenon}": phenomenon for phenomenon in RULES[language]}
        for name, phenomenon in names.items():
            values = {"language": language, "phenomenon": phenomenon, "pairs": pairs, "seed": seed}
            write_text(folder / f"{name}.yaml", TASK.format(task=name, version=PAIRS_VERSION, **values))
        _write_group(folder, f"{GROUP}_{language}", list(names))
    _write_group(folder, GROUP, [f"{GROUP}_{language}" for language in languages])


def _write_group(folder: Path, name: str, members: Sequence[str]) -> None:
    group = {
        "group": name,
        "task": list(members),
        "aggregate_metric_list": [{"metric": "acc", "weight_by_size": True}],
        "metadata": {"version": float(PAIRS_VERSION)},
    }
    lines = [f"{key}: {json.dumps(value)}\n" for key, value in group.items()]
    write_text(folder / f"{name}.yaml", "".join(lines))


def main() -> int:
    if len(sys.argv) != 2:
        print("Error: name a folder for the task files", file=sys.stderr)
        return 1
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    try:
        write_tasks(folder, list(LANGUAGES))
    except EvaluationError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    print(f"{folder}: {GROUP}, {', '.join(f'{GROUP}_{language}' for language in RULES)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
