"""Continuations of fixed prompts at fixed seeds: the same on every run of the same model, for people to read."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Self

from pydantic import Field

from pipeline.base.files import write_text
from pipeline.base.markdown import plain
from pipeline.evaluation.loading import Scorer
from pipeline.evaluation.results import Details, SuiteResult, fields_from, finish
from pipeline.evaluation.suites.suite import SuiteInputs, SuiteSettings

SAMPLES_VERSION: Final = "1"
SAMPLES_FILE: Final = "samples.json"
DEFAULT_PROMPTS: Final[dict[str, tuple[str, ...]]] = {
    "en": ("The most important thing about water is that", "In the year 1900, the city of London"),
    "child": ("Once upon a time there was a little fox who", "The old king looked at the three children and said"),
    "fr": ("Paris est la capitale de", "Il était une fois une petite fille qui"),
    "es": ("La ciudad de Madrid es", "Había una vez un niño que"),
}


@dataclass(frozen=True)
class Sample:
    """One continuation."""

    heading: str
    prompt: str
    text: str
    seed: int


@dataclass(frozen=True)
class SamplesDetails(Details):
    """All continuations, and how they were drawn."""

    samples: tuple[Sample, ...]
    temperature: float
    top_p: float

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        return fields_from(cls, {**body, "samples": tuple(fields_from(Sample, row) for row in body["samples"])})

    def markdown(self) -> str:
        return "\n\n".join(f"**{plain(sample.prompt.strip())}**{plain(sample.text)}" for sample in self.samples)


class SamplesSuite(SuiteSettings):
    """Continuations of fixed prompts at fixed seeds."""

    version: ClassVar[str] = SAMPLES_VERSION
    description: ClassVar[str] = "Continuations of fixed prompts at fixed seeds."
    details: ClassVar[type[Details]] = SamplesDetails

    kind: Literal["samples"] = "samples"
    prompts: dict[str, tuple[str, ...]] = Field(default_factory=lambda: dict(DEFAULT_PROMPTS), min_length=1)
    """Prompts under a heading, such as a language."""
    new_tokens: int = Field(64, gt=0)
    temperature: float = Field(0.8, ge=0)
    top_p: float = Field(0.95, gt=0, le=1)
    seed: int = Field(1, ge=0)

    def evaluate(self, scorer: Scorer, inputs: SuiteInputs, out: Path) -> SuiteResult:
        return evaluate_samples(scorer, self, out)


def evaluate_samples(scorer: Scorer, suite: SamplesSuite, out: Path) -> SuiteResult:
    """Continue every prompt; write `samples.json`. Prompt n of a heading has the seed `seed + n`."""
    from trainer.generate import generate

    start = time.monotonic()
    samples = []
    for heading, prompts in suite.prompts.items():
        for number, prompt in enumerate(prompts):
            ids = generate(
                scorer.model,
                [scorer.eot_id, *scorer.tokenizer.encode(prompt)],
                max_new_tokens=suite.new_tokens,
                temperature=suite.temperature,
                top_p=suite.top_p,
                seed=suite.seed + number,
                eot_id=scorer.eot_id,
            )
            samples.append(Sample(heading, prompt, scorer.tokenizer.decode(list(ids)), suite.seed + number))
    rows = [dataclasses.asdict(sample) for sample in samples]
    write_text(out / SAMPLES_FILE, json.dumps(rows, indent=1, ensure_ascii=False))
    details = SamplesDetails(tuple(samples), suite.temperature, suite.top_p)
    return finish(out, suite.kind, [], details, seconds=time.monotonic() - start, files=[SAMPLES_FILE])
