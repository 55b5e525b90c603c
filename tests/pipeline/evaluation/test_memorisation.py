"""Memorisation: text that was trained on beside held-out text of the same corpus, as many bytes of each."""

import hashlib

import pytest
import torch

from pipeline.assets.every import full_train_assets
from pipeline.base.errors import NotPossibleError
from pipeline.evaluation.heldout import Heldout
from pipeline.evaluation.loading import Scorer
from pipeline.evaluation.read_text import Document, pairs_of, read_documents
from pipeline.evaluation.scores.paired import Scored, paired
from pipeline.evaluation.suites.memorisation import MemorisationSuite
from pipeline.evaluation.suites.suite import SuiteInputs
from pipeline.evaluation.suites.table import read_result
from pipeline.profile.profile import load_profile
from tests.trainer.run.tiny_shards import write_epoch

READ = {"z" * 40: [1, 2, 63], "z" * 90: [3, 63], "z" * 60: [4, 4, 63]}
"""Texts that were trained on, by what stands for them in the shards."""


def key(epoch, tokens):
    return hashlib.blake2b(bytes([epoch, *tokens]), digest_size=16).digest()


@pytest.fixture
def shards(tmp_path):
    write_epoch(tmp_path / "shards", 1, list(READ.values()))
    return {"epoch_001": tmp_path / "shards"}


def training():
    """What the corpus has: texts that were trained on, and one that no epoch came to."""
    yield b"\0" * 16, "never read", "en"
    for text, tokens in READ.items():
        yield key(1, tokens), text, "en"


def documents(*items):
    return [Document(f"{number:02}", text, lang, len(text.encode())) for number, (text, lang) in enumerate(items)]


def held(*items):
    texts, languages = zip(*items, strict=True)
    return Heldout("numbers", list(texts), list(languages), [len(text.encode()) for text in texts])


def test_only_documents_that_the_shards_hold_were_read(shards):
    found = read_documents("numbers", held(("ab", "en")), shards.values(), {"numbers": training})
    assert {item.text for item in found} == set(READ)
    assert read_documents("books", held(("ab", "en")), shards.values(), {"books": training}) == []


def test_a_pair_is_of_one_language_near_in_length_and_cut_to_the_same_bytes():
    there = documents(("f" * 50, "fr"), ("e" * 10, "en"), ("e" * 48, "en"), ("e" * 200, "en"))
    pairs = pairs_of(held(("h" * 50, "en"), ("h" * 52, "en"), ("x", "de")), there)
    assert [(pair.heldout, pair.read) for pair in pairs] == [("h" * 48, "e" * 48), ("h" * 10, "e" * 10)]
    assert len({pair.read_hash for pair in pairs}) == 2


def test_no_character_is_cut():
    (pair,) = pairs_of(held(("aé" * 3, "fr")), documents(("éa" * 2 + "é", "fr")))
    assert (pair.heldout, pair.read) == ("aé" * 2, "éa" * 2)  # 7 bytes of the second would cut the first
    assert pairs_of(held(("é", "fr")), documents(("a", "fr"))) == []


class Repeats(torch.nn.Module):
    """Expects each token again."""

    def hidden(self, ids_BT):
        return 9.0 * torch.nn.functional.one_hot(ids_BT, 384).float()

    def logits(self, hidden_NC):
        return hidden_NC


@pytest.fixture
def repeats(scorer):
    return Scorer(Repeats(), scorer.tokenizer, context=64)


def test_what_was_learned_by_heart_is_cheaper_and_has_an_interval(repeats, shards, heldout, tmp_path):
    folders = heldout({"numbers": [("q1x7" * 11, "en", "a"), ("k2v9" * 14, "en", "b")]})
    inputs = SuiteInputs(heldout=folders, training={"numbers": training}, shards=shards)
    result = MemorisationSuite().evaluate(repeats, inputs, tmp_path)
    (score,), (row,) = result.scores, result.details.rows
    assert (row.pairs, row.bytes) == (2, 40 + 56)
    assert score.value == pytest.approx(row.heldout - row.read)
    assert score.value > 5
    (line,) = read_result(tmp_path).details.table()
    assert line["95%"].startswith(f"{score.value - 1.96 * score.stderr:.4f} to ")
    again = Scored(read_result(tmp_path), tmp_path)
    assert paired(score, score, again.values(score), again.values(score)).stderr == 0


def test_a_corpus_of_which_nothing_was_read_is_not_compared(repeats, heldout, tmp_path):
    inputs = SuiteInputs(heldout=heldout({"numbers": [("ab", "en", "a")]}), training={"numbers": training})
    with pytest.raises(NotPossibleError, match="numbers: nothing of it"):
        MemorisationSuite().evaluate(repeats, inputs, tmp_path)


def test_its_asset_reads_the_shards_that_the_model_was_trained_on(tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "extends: sample\nevaluation:\n  suites:\n    memorisation: {kind: memorisation}\n"
    )
    assets = {item.key: item for item in full_train_assets(load_profile(str(tmp_path / "mine.yaml")))}
    inputs = assets["eval/memorisation"].inputs
    shards = [key for key in assets if key.startswith("shards/")]
    assert len(shards) == 2
    assert set(shards) <= set(inputs)
    assert {"heldout/books", "documents/books", "corpus/books"} <= set(inputs)
    assert not set(shards) & set(assets["eval/bits_per_byte"].inputs)
