"""`items.parquet`: every item of a suite of lm-eval with what made its score."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pipeline.base.files import whole_path

ITEMS_FILE: Final = "items.parquet"


def write_items(samples: Mapping[str, Any], path: Path) -> None:
    """One row an item of lm-eval: its place in the task, a hash of its text, log-likelihoods, each metric as JSON."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, list[Any]] = {
        name: [] for name in ("task", "item", "hash", "target", "loglikelihoods", "greedy", "text", "metrics")
    }
    for task in sorted(samples):
        for sample in sorted(samples[task], key=lambda sample: sample["doc_id"]):
            pairs, text = _responses(sample["resps"])
            columns["task"].append(task)
            columns["item"].append(sample["doc_id"])
            columns["hash"].append(sample["doc_hash"])
            columns["target"].append(str(sample["target"]))
            columns["loglikelihoods"].append([value for value, _ in pairs])
            columns["greedy"].append([greedy for _, greedy in pairs])
            columns["text"].append(text)
            metrics = {name: sample[name] for name in sample["metrics"]}
            columns["metrics"].append(json.dumps(metrics, sort_keys=True, default=float))
    schema = pa.schema(
        [
            ("task", pa.string()),
            ("item", pa.int32()),
            ("hash", pa.string()),
            ("target", pa.string()),
            ("loglikelihoods", pa.list_(pa.float64())),
            ("greedy", pa.list_(pa.bool_())),
            ("text", pa.string()),
            ("metrics", pa.string()),
        ]
    )
    with whole_path(path) as temporary:
        pq.write_table(pa.table(columns, schema=schema), temporary, compression="zstd")


def _responses(resps: Any) -> tuple[list[tuple[float, bool | None]], str | None]:
    """An item's log-likelihoods (with whether greedy), or the text it generated."""
    pairs: list[tuple[float, bool | None]] = []
    text = None
    for first, *_ in resps:
        if isinstance(first, str):
            text = first
        elif isinstance(first, int | float):
            pairs.append((float(first), None))
        else:
            pairs.append((float(first[0]), bool(first[1])))
    return pairs, text
