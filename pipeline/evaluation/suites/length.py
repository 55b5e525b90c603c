"""Loss by position past the trained context, raw and with RoPE stretched in several ways.

The same stretches of text are scored at every length: the longest length's windows are cut from long held-out texts
(the documents of one group, such as a book, in order), and a shorter length scores their beginnings. So curves differ
by the model alone. Learned positions end with the trained context, so such a model is scored at 1x only.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Self

from pydantic import Field

from pipeline.base.errors import NotPossibleError
from pipeline.curation.heldout import heldout_documents
from pipeline.evaluation.item_values import ItemValues, item_values
from pipeline.evaluation.loading import Scorer
from pipeline.evaluation.results import Details, Score, SuiteResult, fields_from, finish
from pipeline.evaluation.suites.suite import SuiteInputs, SuiteSettings

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger(__name__)

LENGTH_VERSION: Final = "2"
Scaling = Literal["none", "linear", "ntk", "yarn"]
BUCKETS: Final = 4
"""Points of a curve in each trained context."""


@dataclass(frozen=True)
class Curve:
    """Mean loss in nats a token of consecutive stretches of positions."""

    scaling: str
    factor: int
    positions: Sequence[int]
    """Where each stretch ends, in tokens."""
    losses: Sequence[float]
    last_by_window: Sequence[float] = ()
    """Mean loss of each window's last trained context, which is what the score is the mean of."""

    @property
    def task(self) -> str:
        """What its score is called."""
        return f"{self.scaling} {self.factor}x"


@dataclass(frozen=True)
class LengthDetails(Details):
    """Curves of the loss by position."""

    trained_context: int
    curves: tuple[Curve, ...]
    text_hash: str = ""
    """SHA-256 of the windows' tokens."""
    notes: Sequence[str] = ()
    """What was not tried, and why."""

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        return fields_from(cls, {**body, "curves": tuple(fields_from(Curve, curve) for curve in body["curves"])})

    def remarks(self) -> Iterator[tuple[str, str]]:
        for note in self.notes:
            yield "length extrapolation", note

    def text_hash_of(self, task: str) -> str | None:
        return self.text_hash

    def values(self, score: Score, items: Mapping[str, list[Any]]) -> ItemValues | None:
        for curve in self.curves:
            if curve.task == score.task:
                keys = [(self.text_hash, number) for number in range(len(curve.last_by_window))]
                return item_values(keys, [(loss, 1.0) for loss in curve.last_by_window])
        return None


class LengthExtrapolationSuite(SuiteSettings):
    """Loss by position past the trained context, on long held-out documents."""

    version: ClassVar[str] = LENGTH_VERSION
    description: ClassVar[str] = "Loss by position at and past the trained context."
    details: ClassVar[type[Details]] = LengthDetails
    needs_heldout: ClassVar[bool] = True

    kind: Literal["length_extrapolation"] = "length_extrapolation"
    factors: tuple[int, ...] = Field((1, 2, 4, 8), min_length=1)
    """Lengths tried, in trained contexts."""
    scalings: tuple[Scaling, ...] = Field(("none", "ntk", "yarn"), min_length=1)
    """How RoPE is stretched to each length; models with learned positions only know `none` and end at 1x."""
    windows: int = Field(8, gt=0)
    """Stretches of text scored at each length."""

    def evaluate(self, scorer: Scorer, inputs: SuiteInputs, out: Path) -> SuiteResult:
        return evaluate_length(scorer, inputs.heldout, self, out)


def evaluate_length(
    scorer: Scorer, heldout: Mapping[str, Path], suite: LengthExtrapolationSuite, out: Path
) -> SuiteResult:
    """Score every length under every scaling; write `scores.json`, whose details hold the curves.

    Raises:
        NotPossibleError: no held-out text is as long as the trained context.
    """
    import numpy as np

    start = time.monotonic()
    config = scorer.model.config
    factors = sorted(set(suite.factors)) if config.position == "rope" else [1]
    windows, longest = _windows(scorer, heldout, factors, suite.windows)
    curves: list[Curve] = []
    scores: list[Score] = []
    for factor in factors:
        if factor > longest:
            continue
        length = factor * config.context
        for scaling in _scalings(config, factor, suite):
            model = _stretched(scorer.model, scaling, factor)
            nats_NT = np.stack([_losses(model, window[: length + 1]) for window in windows])
            name = config.position if scaling == "none" else f"{config.position} {scaling}"
            step = max(1, config.context // BUCKETS)
            ends = [*range(step, length, step), length]
            starts = [0, *ends[:-1]]
            means = [float(nats_NT[:, a:b].mean()) for a, b in zip(starts, ends, strict=True)]
            last = nats_NT[:, -config.context :].mean(axis=1)
            curve = Curve(name, factor, ends, means, last.tolist())
            curves.append(curve)
            scores.append(
                Score(
                    task=curve.task,
                    metric="loss_in_last_context",
                    value=float(last.mean()),
                    stderr=float(last.std(ddof=1) / np.sqrt(len(last))) if len(last) > 1 else None,
                    count=len(windows),
                    higher_is_better=False,
                    version=LENGTH_VERSION,
                )
            )
            log.info("%s at %dx (%s tokens): %.3f nats a token at the end", name, factor, f"{length:,}", last.mean())
    text_hash = hashlib.sha256(np.concatenate(windows).tobytes()).hexdigest()
    details = LengthDetails(config.context, tuple(curves), text_hash, _notes(config, suite, longest))
    return finish(out, suite.kind, scores, details, seconds=time.monotonic() - start)


def _scalings(config: Any, factor: int, suite: LengthExtrapolationSuite) -> list[Scaling]:
    if config.position != "rope" or config.rope_scaling is not None or factor == 1:
        return ["none"]
    return list(suite.scalings)


def _notes(config: Any, suite: LengthExtrapolationSuite, longest: int) -> list[str]:
    notes = []
    if config.position != "rope":
        notes.append("learned positions end with the trained context, so only 1x is scored")
    elif config.rope_scaling is not None:
        notes.append("the model has a RoPE scaling of its own, so no other is tried")
    missing = [factor for factor in sorted(set(suite.factors)) if factor > longest]
    if missing and config.position == "rope":
        notes.append(f"no held-out text is long enough for {', '.join(f'{factor}x' for factor in missing)}")
    return notes


def _windows(
    scorer: Scorer, heldout: Mapping[str, Path], factors: list[int], wanted: int
) -> tuple[list[np.ndarray], int]:
    """Token windows of the greatest length that some text allows, evenly over the texts, and that length's factor."""
    texts = [text for corpus, folder in sorted(heldout.items()) for text in _long_texts(folder)]
    encoded = [[scorer.eot_id, *scorer.tokenizer.encode(text)] for text in texts]
    for factor in reversed(factors):
        length = factor * scorer.context + 1
        cuts = [ids[i : i + length] for ids in encoded for i in range(0, len(ids) - length + 1, length)]
        if cuts:
            import numpy as np

            chosen = sorted({round(i * (len(cuts) - 1) / max(wanted - 1, 1)) for i in range(wanted)})
            return [np.array(cuts[i], dtype=np.int64) for i in chosen], factor
    raise NotPossibleError(
        f"no held-out text has the {scorer.context:,} tokens of the trained context: hold out longer documents, such "
        "as books, or leave the length_extrapolation suites out"
    )


def _long_texts(folder: Path) -> list[str]:
    """The documents of each group joined in order, longest first, up to 4 MB in all."""
    groups: dict[str, list[str]] = {}
    for document in heldout_documents(folder):
        groups.setdefault(document.group, []).append(document.text)
    texts = sorted(("\n\n".join(parts) for parts in groups.values()), key=lambda text: (-len(text), text))
    return [text[:1_000_000] for text in texts[:4]]


def _stretched(model: Any, scaling: Scaling, factor: int) -> Any:
    """The same weights in a model whose RoPE runs to `factor` contexts."""
    if scaling == "none":
        return model
    from trainer.model import GPT
    from trainer.model.sections import RopeScaling

    config = dataclasses.replace(
        model.config,
        context=model.config.context * factor,
        rope_scaling=RopeScaling(kind=scaling, factor=float(factor), original_context=model.config.context),
    )
    stretched = GPT(config)
    stretched.load_state_dict(model.state_dict())
    return stretched.to(next(model.parameters()).device).eval()


def _losses(model: Any, window: np.ndarray) -> np.ndarray:
    """Nats of tokens 1 to the end, each after all before it, float64."""
    import torch

    from trainer.scoring.documents import evaluating

    with evaluating(model) as device, torch.inference_mode():
        ids_1T = torch.from_numpy(window[None, :-1]).to(device)
        targets_T = torch.from_numpy(window[1:]).to(device)
        nats_T = torch.nn.functional.cross_entropy(model(ids_1T)[0].float(), targets_T, reduction="none")
    return nats_T.double().cpu().numpy()
