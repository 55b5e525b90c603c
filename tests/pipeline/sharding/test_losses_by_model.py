"""From easy to hard by a finished model of the store, in place of n-grams."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from pipeline.assets.every import every_asset
from pipeline.assets.losses import JUDGE
from pipeline.assets.stored_asset import Build, StoredAsset
from pipeline.base.errors import ShardError, StoreError
from pipeline.base.executor import InProcess
from pipeline.base.ids import id64
from pipeline.base.settings import identity_of
from pipeline.profile.profile import Profile, load_profile
from pipeline.sharding.beside import read_beside
from pipeline.sharding.losses.build import LOSS, build_losses, losses_of
from pipeline.sharding.settings import LossModel
from pipeline.store import Artifact, Built, Store

TOKENIZER = "f" * 64
"""Of the stores that `make_store` writes."""


def write_model(folder: Path, tokenizer: str | None = TOKENIZER, state: str = "finished") -> Path:
    """A small model with random weights, as a run leaves it."""
    import torch
    from safetensors.torch import save_file

    from trainer.model import GPT, ModelConfig
    from trainer.run.checkpoints.tensors import model_tensors

    torch.manual_seed(0)
    config = ModelConfig(vocab_size=500, context=8, width=16, layers=1, heads=2, attention_input="3n", qk_norm=False)
    model = GPT(config)
    for parameter in model.parameters():  # far from uniform, so that documents differ
        parameter.data.mul_(4.0)
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: item.contiguous() for name, item in model_tensors(model).items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    (folder / "summary.json").write_text(json.dumps({"state": state, "tokens": 4096, "tokenizer": tokenizer}))
    return folder


@pytest.fixture
def store_of_web(make_store: Any, tmp_path: Path) -> Any:
    """Writes the tokens of a corpus of documents of 0 to 24 tokens."""
    rng = np.random.default_rng(1)
    documents = [
        (hashlib.blake2b(bytes([number]), digest_size=16).digest(), "en", [*rng.integers(1, 500, number % 25), 0])
        for number in range(60)
    ]
    return documents, lambda name, **how: {"web": make_store(tmp_path / name, "web", documents, **how)}


def test_its_losses_are_those_of_evaluation_and_depend_on_no_division_of_work(
    store_of_web: Any, tmp_path: Path
) -> None:
    from trainer.run.trained_model import load_model
    from trainer.scoring.documents import score_documents

    documents, stores_of = store_of_web
    model = write_model(tmp_path / "model")
    found = []
    for name, how in (("one", {"files": 1, "batch": 60}), ("several", {"files": 3, "batch": 7})):
        out = tmp_path / f"losses_{name}"
        found.append(build_losses(LossModel(model="small"), stores_of(name, **how), {"web"}, out, InProcess(), model))
    assert found[0] == found[1]
    assert found[0].tokens == 4096, "what the model learned from"
    texts = [tokens[:-1] for _, _, tokens in documents]
    nats, _ = score_documents(load_model(model), texts, eot_id=0, context=8)
    expected = nats / math.log(2) / [max(1, 3 * len(text)) for text in texts]
    ids = id64(np.array([list(document[0]) for document in documents], dtype=np.uint8))
    losses = read_beside(losses_of(tmp_path / "losses_one", "web"), LOSS, ids, np.nan)
    np.testing.assert_allclose(losses, expected, atol=6e-4)
    assert losses.std() > 0.1


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"tokenizer": "a" * 64}, r"trained with the tokenizer aaaaaaaaaaaa, these tokens are of ffffffffffff: take a"),
        ({"tokenizer": None}, "trained with the tokenizer that it does not name"),
        ({"state": "interrupted"}, "holds no finished model; train it to its end first"),
    ],
)
def test_a_model_that_cannot_score_these_tokens_is_refused(
    store_of_web: Any, tmp_path: Path, how: dict[str, Any], said: str
) -> None:
    model = write_model(tmp_path / "model", **how)
    with pytest.raises(ShardError, match=f"loss_model.model: .*{said}"):
        build_losses(LossModel(), store_of_web[1]("tokens"), {"web"}, tmp_path / "losses", InProcess(), model)


def test_a_finished_model_learns_nothing_more() -> None:
    with pytest.raises(ValidationError, match="a finished model has learned already: leave out corpora, ngram and"):
        LossModel.model_validate({"model": "small", "ngram": 2})
    assert "model" not in identity_of(LossModel(model="small")), "its content counts, and no name"


ORDERED = """\
extends: {base}
schedule:
  tokens_per_epoch: 100_000
  stages: [{{name: up, order: easy_to_hard, mixture: {{books: 1}}}}]
  language_temperature: null
  loss_model: {{model: small}}
"""


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    (tmp_path / "mine.yaml").write_text(ORDERED.format(base="sample"))
    return load_profile(str(tmp_path / "mine.yaml"))


def losses_asset_of(profile: Profile) -> StoredAsset[Any]:
    return next(asset for asset in every_asset(profile) if asset.key == "losses")


def made(store: Store, key: str, inputs: dict[str, Artifact], write: Any = None) -> Artifact:
    def build(out: Path) -> Built:
        (write or (lambda folder: (folder / "data.txt").write_text(key)))(out)
        return Built(f"content of {key}")

    return store.ensure(key, code_version="1", identity={}, inputs=inputs, build=build).artifact


def test_the_model_is_an_input_and_no_other_text_is_read(profile: Profile, tmp_path: Path) -> None:
    asset = losses_asset_of(profile)
    assert list(asset.inputs) == ["tokens/books"]
    assert identity_of(asset.settings) == {"scored": ["books"]}
    assert asset.elsewhere is not None
    model = made(Store(tmp_path / "store", "small").open(), "model", {}, write_model)
    mine = Store(tmp_path / "store", profile.name).open()
    assert {label: item.fingerprint for label, item in asset.elsewhere(asset.settings, mine).items()} == {
        JUDGE: model.fingerprint
    }


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mine", "schedule.loss_model.model: mine is this profile itself; name another one"),
        ("smal", "schedule.loss_model.model: the store has no model of smal; it has those of small: train it first"),
    ],
)
def test_the_profiles_own_model_would_be_read_in_an_order_that_it_decides(
    profile: Profile, tmp_path: Path, name: str, said: str
) -> None:
    schedule = profile.schedule.model_copy(update={"loss_model": LossModel(model=name)})
    asset = losses_asset_of(profile.model_copy(update={"schedule": schedule}))
    made(Store(tmp_path / "store", "small").open(), "model", {}, write_model)
    assert asset.elsewhere is not None
    with pytest.raises(StoreError, match=said):
        asset.elsewhere(asset.settings, Store(tmp_path / "store", "mine").open())


@pytest.mark.parametrize("trained_on", ["books", "wikipedia"])
def test_it_is_said_where_the_model_has_read_what_it_scores(
    profile: Profile, store_of_web: Any, tmp_path: Path, trained_on: str, caplog: pytest.LogCaptureFixture
) -> None:
    small, mine = (Store(tmp_path / "store", name).open() for name in ("small", profile.name))
    corpora = {name: made(small, f"corpus/{name}", {}) for name in ("books", "wikipedia")}
    written = store_of_web[1]("written")["web"]
    copy = lambda out: [(out / file.name).write_bytes(file.read_bytes()) for file in written.iterdir()]  # noqa: E731
    tokens = {name: made(small, f"tokens/{name}", {f"corpus/{name}": item}, copy) for name, item in corpora.items()}
    shards = made(small, "shards/epoch_001", {f"tokens/{trained_on}": tokens[trained_on]})
    validation = made(small, "validation", {f"tokens/{name}": item for name, item in tokens.items()})
    model = made(small, "model", {"shards/epoch_001": shards, "validation": validation}, write_model)
    inputs = {"tokens/books": tokens["books"], JUDGE: model}
    context: Any = SimpleNamespace(log=logging.getLogger("losses"))
    summary = losses_asset_of(profile).make(Build(tmp_path / "losses", inputs, None, mine, context))
    assert summary.read_before == (("books",) if trained_on == "books" else ())
    assert ("was trained on documents of books" in caplog.text) == (trained_on == "books")
    assert summary.corpora["books"].documents == 60


def test_a_studys_data_sets_share_their_losses(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        ORDERED.format(base="sample")
        + """\
study:
  baseline: plain
  heldout: {bytes: {books: 10_000}}
  budget: {tokens: 40_960}
  data:
    plain: {tokens: 100_000, stages: [{name: all, mixture: {books: 1}}]}
    up: &up {tokens: 100_000, stages: [{name: all, order: easy_to_hard, mixture: {books: 1, wikipedia: 1}}]}
    up_again: {<<: *up, seed: 2}
    by_two: {<<: *up, loss_model: {ngram: 2}}
    by_small: {<<: *up, loss_model: {model: small}}
  arms: {plain: , up: {data: [up, up_again]}, others: {data: [by_two, by_small]}}
"""
    )
    assets = {asset.key: asset for asset in every_asset(load_profile(str(tmp_path / "mine.yaml")))}
    losses = {
        name: [key for key in assets[f"ablation_data/{name}"].inputs if key.startswith("ablation_losses/")]
        for name in ("plain", "up", "up_again", "by_two", "by_small")
    }
    assert losses == {
        "plain": [],
        "up": ["ablation_losses/up"],
        "up_again": ["ablation_losses/up"],
        "by_two": ["ablation_losses/by_two"],
        "by_small": ["ablation_losses/by_small"],
    }
    assert sorted(key for key in assets if key.startswith("ablation_losses/")) == [
        f"ablation_losses/{name}" for name in ("by_small", "by_two", "up")
    ]
    assert [assets[f"ablation_losses/{name}"].elsewhere is None for name in ("up", "by_small")] == [True, False]
