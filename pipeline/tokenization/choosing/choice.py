"""The choice between the candidates: a name, or a criterion over the comparison.

- `fewest_tokens`: most bytes per token on held-out text; ignores what the vocabulary costs.
- `cheapest_training`: fewest FLOPs for one pass over the curated text at the profile's model.
- `proxy_bits_per_byte`: fewest bits per byte of a small run at equal bytes of text; what decides in the end.

A tie goes to the smaller vocabulary, then to the name. The chosen folder is copied as it is, so the result's content
hash is the tokenizer's own: another candidate or criterion that leads to the same tokenizer rebuilds nothing after it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipeline.base.errors import TokenizerError
from pipeline.base.files import whole_path
from pipeline.tokenization.folder import load_tokenizer
from pipeline.tokenization.settings import CRITERIA

SELECT_VERSION: Final = "1"

_KEYS: Final[dict[str, Callable[[dict[str, Any]], float]]] = {
    "fewest_tokens": lambda row: -row["bytes_per_token"],
    "cheapest_training": lambda row: row["training_flops"],
    "proxy_bits_per_byte": lambda row: row["proxy_bits_per_byte"],
}


@dataclass(frozen=True)
class SelectionSummary:
    """The chosen tokenizer and why."""

    content_hash: str
    name: str
    reason: str
    vocab_size: int
    eot_id: int
    dtype: str


def select_tokenizer(select: str, comparison: Path, tokenizers: Mapping[str, Path], out: Path) -> SelectionSummary:
    """Copy the chosen candidate's folder into `out`. `comparison` is the folder of `comparison.json`.

    Raises TokenizerError for a name that is no candidate, or a criterion that the comparison did not measure.
    """
    rows = json.loads((comparison / "comparison.json").read_text(encoding="utf-8"))["tokenizers"]
    name, reason = choose(select, rows)
    if name not in tokenizers:
        raise TokenizerError(f"tokenizers.select is {name!r}, which is none of {', '.join(tokenizers)}")
    for path in sorted(tokenizers[name].iterdir()):
        if path.is_file() and path.name != "manifest.json":
            with whole_path(out / path.name) as temporary:
                shutil.copyfile(path, temporary)
    chosen = load_tokenizer(out)
    return SelectionSummary(
        content_hash=chosen.content_hash,
        name=name,
        reason=reason,
        vocab_size=chosen.vocab_size,
        eot_id=chosen.eot_id,
        dtype=chosen.dtype,
    )


def choose(select: str, rows: Mapping[str, dict[str, Any]]) -> tuple[str, str]:
    """The winner's name, and the reason in words. Raises TokenizerError where it cannot be decided."""
    if select not in CRITERIA:
        if select not in rows:
            raise TokenizerError(
                f"tokenizers.select is {select!r}: neither a compared candidate ({', '.join(rows)}) nor a criterion "
                f"({', '.join(CRITERIA)})"
            )
        return select, "named in the profile"
    key = _KEYS[select]
    if select == "proxy_bits_per_byte" and any(row.get(select) is None for row in rows.values()):
        raise TokenizerError(
            "tokenizers.select is proxy_bits_per_byte, but no proxy runs were made; set tokenizers.proxy"
        )
    ranked = sorted(rows, key=lambda name: (key(rows[name]), rows[name]["vocab_size"], name))
    values = ", ".join(f"{name} {abs(key(rows[name])):.4g}" for name in ranked)
    return ranked[0], f"{select}: {values}"
