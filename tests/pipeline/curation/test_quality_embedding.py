"""A quality model over vectors of tokens: it knows words that it has not met by what they are like."""

from __future__ import annotations

import random
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from pipeline.base.archives import Archive
from pipeline.base.errors import CurationError
from pipeline.base.executor import InProcess
from pipeline.base.files import sha256_of
from pipeline.base.settings import identity_of
from pipeline.curation.quality.embedding import TOKENIZER_FILE, Embedding
from pipeline.curation.quality.linear import LinearModel, fit_embedded
from pipeline.curation.quality.scoring import SCORES_FILE, score_corpus
from pipeline.curation.quality.training import MODEL_FILE, train_quality_model
from pipeline.curation.settings import QualityModelSettings, StaticEmbedding
from tests.pipeline.curation.stories import corpus

MET = {"good": ["cell", "theory", "protein"], "bad": ["buy", "offer", "prize"]}
NEW = {"good": ["membrane", "proof", "enzyme"], "bad": ["cheap", "deal", "win"]}
COMMON = "the a of to and in is it that was".split()
VOCABULARY = [*COMMON, *(word for words in (MET, NEW) for side in words.values() for word in side), "[UNK]"]


def vectors() -> np.ndarray:
    """Words of a side lie near each other; the rest is noise."""
    table = np.random.default_rng(1).normal(size=(len(VOCABULARY), 4)).astype(np.float16)
    for words in (MET, NEW):
        for side, sign in (("good", 1), ("bad", -1)):
            table[[VOCABULARY.index(word) for word in words[side]], 0] = 5 * sign
    table[[VOCABULARY.index(word) for word in COMMON], 0] = 0
    return table


@pytest.fixture
def embedding(tmp_path: Path) -> StaticEmbedding:
    """A package with a table of vectors, in the cache as a fetched one lies there."""
    tokenizer = Tokenizer(WordLevel({word: place for place, word in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    wheel = tmp_path / "cache" / "small_vectors-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("small_vectors/table.safetensors", save({"embedding.weight": vectors()}))
        archive.writestr("small_vectors/two.safetensors", save({"a": vectors(), "b": vectors()}))
        archive.writestr("small_vectors/short.safetensors", save({"a": vectors()[:3]}))
        archive.writestr("small_vectors/tokenizer.json", tokenizer.to_str())
    pinned = Archive(package="small-vectors", version="1.0", sha256=sha256_of(wheel))
    files = {"weights": "small_vectors/table.safetensors", "tokenizer": "small_vectors/tokenizer.json"}
    return StaticEmbedding(archive=pinned, **files)


def page(words: list[str], seed: int) -> str:
    draw = random.Random(seed)
    return " ".join(draw.choice(words if draw.random() < 0.3 else COMMON) for _ in range(40)) + f" {seed}"


def folders(curation, corpora):
    return [{name: curation.folder(asset, name) for name in corpora} for asset in ("documents", "heldout")]


def test_words_that_it_has_not_met_count_by_what_they_are_like(curation, write_lines, embedding, tmp_path) -> None:
    texts = {
        side: [page(words, seed) for seed in range(first, first + 100)]
        for (side, words), first in zip(MET.items(), (0, 1000), strict=True)
    }
    texts["web"] = [page(NEW["good" if seed % 2 else "bad"], seed) for seed in range(2000, 2100)]
    curation.run({name: corpus(write_lines(f"{name}.jsonl", some)) for name, some in texts.items()})
    settings = QualityModelSettings(like=("good",), unlike=("bad",), validation_share=0.2, penalty=1e-3)
    areas = {}
    for view in (None, embedding):
        model = tmp_path / f"model {view is not None}"
        model.mkdir()
        chosen = settings.model_copy(update={"embedding": view})
        train_quality_model(chosen, *folders(curation, ("good", "bad")), model, cache=tmp_path / "cache")
        assert (model / TOKENIZER_FILE).exists() == (view is not None)
        out = tmp_path / f"scores {view is not None}"
        out.mkdir()
        score_corpus(curation.folder("documents", "web"), model, out, executor=InProcess())
        scores = pq.read_table(out / SCORES_FILE)["score"].to_numpy()
        good = np.arange(2000, 2100) % 2 == 1
        areas[view is not None] = float((scores[good][:, None] > scores[~good][None, :]).mean())
    assert areas[True] > 0.99
    assert areas[False] < 0.8, "hashed n-grams know nothing of words that they have not seen"


def test_one_weight_a_token_says_what_the_mean_of_the_vectors_does(embedding, tmp_path) -> None:
    read = Embedding.read(embedding, tmp_path / "cache")
    texts = [page(MET["good" if seed % 2 else "bad"], seed) for seed in range(60)]
    tokens = read.tokens.read(pa.array(texts))
    good = np.arange(60) % 2 == 1
    model = fit_embedded(tokens, read.vectors, good.astype(float), np.ones(60), classifies=True, penalty=1e-2)
    means = np.array(
        [
            read.vectors[tokens.buckets[start:stop, 0]].mean(axis=0)
            for start, stop in zip(tokens.offsets[:-1], tokens.offsets[1:], strict=True)
        ]
    )
    standard = np.column_stack([(means - means.mean(axis=0)) / means.std(axis=0), np.ones(60)])
    of_tokens = model.margins(tokens)
    weights, *_ = np.linalg.lstsq(standard, of_tokens, rcond=None)
    np.testing.assert_allclose(standard @ weights, of_tokens, atol=1e-3), "linear in the means"
    error = 1 / (1 + np.exp(-of_tokens)) - good
    gradient = standard[:, :-1].T @ error / 60 + 1e-2 * weights[:-1]
    assert np.abs(gradient).max() < 1e-3, "and of the least loss"
    model.write(tmp_path / MODEL_FILE)
    again = LinearModel.read(tmp_path / MODEL_FILE)
    assert again.embedded
    np.testing.assert_array_equal(again.margins(tokens), of_tokens)


def test_an_empty_text_has_a_score_and_special_tokens_are_none(embedding, tmp_path) -> None:
    tokens = Embedding.read(embedding, tmp_path / "cache").tokens.read(pa.array(["", "the cell", ""]))
    assert tokens.offsets.tolist() == [0, 0, 2, 2]
    model = LinearModel(np.arange(len(VOCABULARY) + 1, dtype=np.float32), 0.5, 1, False, embedded=True)
    assert model.margins(tokens).tolist() == [0.5, 0.5 + (0 + VOCABULARY.index("cell")) / 2, 0.5]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": "small_vectors/two.safetensors"}, r"has 2 tables \(a, b\), and one of vectors is wanted"),
        ({"weights": "small_vectors/short.safetensors"}, "has 23 tokens, small_vectors/short.safetensors 3 vectors"),
        ({"weights": "small_vectors/tokenizer.json"}, "no safetensors"),
        ({"tokenizer": "small_vectors/table.safetensors"}, "no tokenizer that can be read"),
    ],
)
def test_files_that_are_none_are_named(embedding, tmp_path, change, message) -> None:
    with pytest.raises(CurationError, match=message):
        Embedding.read(embedding.model_copy(update=change), tmp_path / "cache")


def test_models_without_vectors_keep_their_fingerprint() -> None:
    assert "embedding" not in identity_of(QualityModelSettings(like=("a",), unlike=("b",)))
