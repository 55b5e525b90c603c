"""Data sets with the files, columns and README headers of the real ones, and made-up text: what hub profiles read.

Columns and paths are those of the data sets' cards and listings; sizes are what a test asks for.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from tests.hub.server import Hub

_WEB = {"id": "string", "dump": "string", "url": "string"}
_WORDS = (
    "river stone garden morning letter window winter harbour question answer yellow silver quiet narrow early ancient "
    "carries follows remembers builds opens watches between under after because when while the a of and to in with"
).split()


@dataclass(frozen=True)
class Corpus:
    """A data set of the hub in small."""

    id: str
    text: str
    """The column of text."""
    columns: Mapping[str, str]
    """The others, by name: the names of their Arrow types."""
    path: str
    """Of a file of a configuration: `{config}`, `{number}` and `{count}` are filled in."""
    pattern: str
    """Of a configuration's files, for the README."""
    license: str
    configs: tuple[str, ...] = ("default",)
    extra: Mapping[str, str] = field(default_factory=dict)
    """Configurations before these, as the README has them: by name, their pattern."""

    def readme(self) -> str:
        patterns = {**self.extra, **{config: self.pattern.format(config=config) for config in self.configs}}
        header: dict[str, Any] = {
            "license": self.license,
            "configs": [
                {"config_name": name, "data_files": [{"split": "train", "path": pattern}]}
                for name, pattern in patterns.items()
            ],
        }
        return f"---\n{yaml.safe_dump(header, sort_keys=False)}---\n\n# A data set\n"

    def table(self, rows: int, words: int, seed: int) -> pa.Table:
        """Rows of about so many words of text each, all different."""
        made = random.Random(f"{self.id} {seed}")
        columns: dict[str, pa.Array] = {self.text: pa.array(_text(made, words) for _ in range(rows))}
        for name, kind in self.columns.items():
            columns[name] = _values(made, name, kind, rows)
        return pa.table(columns)


FINEWEB_EDU = Corpus(
    id="HuggingFaceFW/fineweb-edu",
    text="text",
    columns={
        **_WEB,
        "file_path": "string",
        "language": "string",
        "language_score": "double",
        "token_count": "int64",
        "score": "double",
        "int_score": "int64",
    },
    path="sample/10BT/{number:03d}_00000.parquet",
    pattern="sample/10BT/*",
    license="odc-by",
    configs=("sample-10BT",),
    extra={"default": "data/*/*"},
)
FINEWEB_2 = Corpus(
    id="HuggingFaceFW/fineweb-2",
    text="text",
    columns={
        **_WEB,
        "date": "string",
        "file_path": "string",
        "language": "string",
        "language_score": "double",
        "language_script": "string",
        "minhash_cluster_size": "int64",
        "top_langs": "string",
    },
    path="data/{config}/train/000_{number:05d}.parquet",
    pattern="data/{config}/train/*",
    license="odc-by",
    configs=("fra_Latn", "deu_Latn", "spa_Latn", "arb_Arab", "hin_Deva", "swh_Latn"),
)
WIKIPEDIA = Corpus(
    id="wikimedia/wikipedia",
    text="text",
    columns={"id": "string", "url": "string", "title": "string"},
    path="{config}/train-{number:05d}-of-{count:05d}.parquet",
    pattern="{config}/train-*",
    license="cc-by-sa-3.0",
    configs=tuple(f"20231101.{lang}" for lang in ("en", "fr", "de", "es", "ar", "hi", "sw")),
)
GUTENBERG = Corpus(
    id="sedthh/gutenberg_english",
    text="TEXT",
    columns={"SOURCE": "string", "METADATA": "string"},
    path="data/train-{number:05d}-of-{count:05d}.parquet",
    pattern="data/train-*",
    license="mit",
)
SIMPLE_STORIES = Corpus(
    id="SimpleStories/SimpleStories",
    text="story",
    columns={
        "topic": "string",
        "theme": "string",
        "style": "string",
        "feature": "string",
        "grammar": "string",
        "persona": "string",
        "initial_word_type": "string",
        "initial_letter": "string",
        "word_count": "int64",
        "character_count": "int64",
        "num_paragraphs": "int64",
        "avg_word_length": "double",
        "avg_sentence_length": "double",
        "flesch_reading_ease": "double",
        "flesch_kincaid_grade": "double",
        "dale_chall_readability_score": "double",
        "num_stories_in_completion": "int64",
        "expected_num_stories_in_completion": "int64",
        "generation_id": "string",
        "model": "string",
    },
    path="data/train-{number:05d}-of-{count:05d}.parquet",
    pattern="data/train-*",
    license="mit",
)
CORPORA = {corpus.id: corpus for corpus in (FINEWEB_EDU, FINEWEB_2, WIKIPEDIA, GUTENBERG, SIMPLE_STORIES)}


def add_corpus(
    hub: Hub,
    corpus: Corpus,
    folder: Path,
    *,
    files: int = 1,
    rows: int = 100,
    words: int = 60,
    group_rows: int = 1000,
    texts: Mapping[str, list[str]] | None = None,
) -> None:
    """Write a data set's files below a folder and put it on the hub.

    texts: by configuration, the text in the place of made-up words, as many rows as there are texts.
    """
    lying: dict[str, Path] = {}
    for config in corpus.configs:
        for number in range(files):
            path = corpus.path.format(config=config, number=number, count=files)
            given = (texts or {}).get(config)
            table = corpus.table(len(given[number::files]) if given else rows, words, seed=number)
            if given:
                table = table.set_column(0, corpus.text, pa.array(given[number::files]))
            lying[path] = folder / corpus.id / path
            lying[path].parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table, lying[path], row_group_size=group_rows)
    for name, pattern in corpus.extra.items():  # a file for the configurations that nobody reads, but datasets lists
        path = pattern.replace("*", f"{name}-0") + ".parquet"
        lying[path] = next(iter(lying.values()))
    hub.add(corpus.id, lying, readme=corpus.readme())


def _text(made: random.Random, words: int) -> str:
    sentences = []
    left = max(1, made.randint(words // 2, words * 3 // 2))
    while left > 0:
        some = [made.choice(_WORDS) for _ in range(min(left, made.randint(5, 14)))]
        left -= len(some)
        sentences.append(f"{' '.join(some).capitalize()} {made.randrange(10**6)}.")
    return " ".join(sentences)


def _values(made: random.Random, name: str, kind: str, rows: int) -> pa.Array:
    if kind == "double":
        return pa.array([round(made.random(), 4) for _ in range(rows)], pa.float64())
    if kind == "int64":
        return pa.array([made.randint(1, 500) for _ in range(rows)], pa.int64())
    return pa.array([f"{name}-{made.randrange(10**9)}" for _ in range(rows)], pa.string())
