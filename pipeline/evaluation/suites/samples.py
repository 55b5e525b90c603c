"""Continuations of fixed prompts at fixed seeds: the same on every run of the same model, for people to read."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Final

from pipeline.base.files import write_text
from pipeline.evaluation.loading import Scorer
from pipeline.evaluation.results import SuiteResult, finish
from pipeline.evaluation.settings import SamplesSuite

SAMPLES_VERSION: Final = "1"
SAMPLES_FILE: Final = "samples.json"


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
            text = scorer.tokenizer.decode(list(ids))
            samples.append({"heading": heading, "prompt": prompt, "text": text, "seed": suite.seed + number})
    write_text(out / SAMPLES_FILE, json.dumps(samples, indent=1, ensure_ascii=False))
    details = {"samples": samples, "temperature": suite.temperature, "top_p": suite.top_p}
    return finish(out, suite.kind, [], details, seconds=time.monotonic() - start, files=[SAMPLES_FILE])
