"""What one evaluation during a run, or at its end, found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Evaluation:
    """What one evaluation found: figures by name, of held-out documents and of multiple-choice tasks."""

    validation: dict[str, dict[str, float]]
    """As `trainer.scoring.validation.score` gives them."""
    choices: dict[str, dict[str, float]]
    """As `trainer.scoring.choices.score_choices` gives them."""

    def lines(self) -> Iterator[str]:
        """One for people for each name."""
        for name, result in self.validation.items():
            yield f"held-out {name}: loss {result['loss']:.4f}, {result['bits_per_byte']:.4f} bits/byte"
        for name, result in self.choices.items():
            shown = [f"{key} {result[key]:.3f} ± {result[key + '_stderr']:.3f}" for key in ("acc", "acc_norm")]
            yield f"{name}: {', '.join(shown)} of {result['items']:,} items"
