"""The choice between the candidates: a name, or a criterion over the comparison.

- `fewest_tokens`: most bytes per token on held-out text; ignores what the vocabulary costs.
- `cheapest_training`: fewest FLOPs for one pass over the curated text at the profile's model.
- `proxy_bits_per_byte`: fewest bits per byte of a small run at equal bytes of text; what decides in the end.

A tie goes to the smaller vocabulary, then to the name. The chosen folder is copied as it is, so the result's content
hash is the tokenizer's own: another candidate or criterion that leads to the same tokenizer rebuilds nothing after it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.base.errors import TokenizerError
from pipeline.base.files import whole_path
from pipeline.tokenization.choosing.candidates import Candidate, Comparison
from pipeline.tokenization.folder import load_tokenizer
from pipeline.tokenization.settings import CRITERIA

SELECT_VERSION: Final = "1"

_LOWEST_WINS: Final[dict[str, Callable[[Candidate], float | None]]] = {
    "fewest_tokens": lambda candidate: -candidate.bytes_per_token,
    "cheapest_training": lambda candidate: candidate.training_flops,
    "proxy_bits_per_byte": lambda candidate: candidate.proxy_bits_per_byte,
}


@dataclass(frozen=True)
class ChoiceSummary:
    """The chosen tokenizer and why."""

    content_hash: str
    name: str
    reason: str
    vocab_size: int
    eot_id: int
    dtype: str


def select_tokenizer(select: str, comparison: Path | None, tokenizers: Mapping[str, Path], out: Path) -> ChoiceSummary:
    """Copy the chosen candidate's folder into `out`.

    Args:
        comparison: the folder of `comparison.json`; a name needs none.
        tokenizers: the candidates' folders, by name.

    Raises TokenizerError for a name that is no candidate, or a criterion that the comparison did not measure.
    """
    if select not in CRITERIA:
        name, reason = select, "named in the profile"
    elif comparison is None:
        raise TokenizerError(f"tokenizers.select is {select}, for which the candidates must be compared first")
    else:
        name, reason = choose(select, Comparison.read(comparison).tokenizers)
    if name not in tokenizers:
        raise TokenizerError(
            f"tokenizers.select is {name!r}: neither a candidate ({', '.join(tokenizers)}) nor a criterion "
            f"({', '.join(CRITERIA)})"
        )
    for path in sorted(tokenizers[name].iterdir()):
        if path.is_file() and path.name != "manifest.json":
            with whole_path(out / path.name) as temporary:
                shutil.copyfile(path, temporary)
    chosen = load_tokenizer(out)
    return ChoiceSummary(
        content_hash=chosen.content_hash,
        name=name,
        reason=reason,
        vocab_size=chosen.vocab_size,
        eot_id=chosen.eot_id,
        dtype=chosen.dtype,
    )


def choose(criterion: str, candidates: Mapping[str, Candidate]) -> tuple[str, str]:
    """The winner's name, and the reason in words. Raises TokenizerError where it cannot be decided."""
    values = {name: _LOWEST_WINS[criterion](candidate) for name, candidate in candidates.items()}
    measured = {name: value for name, value in values.items() if value is not None}
    if len(measured) < len(values):
        raise TokenizerError(
            "tokenizers.select is proxy_bits_per_byte, but no proxy runs were made; set tokenizers.proxy"
        )
    ranked = sorted(measured, key=lambda name: (measured[name], candidates[name].vocab_size, name))
    return ranked[0], f"{criterion}: " + ", ".join(f"{name} {abs(measured[name]):.4g}" for name in ranked)
