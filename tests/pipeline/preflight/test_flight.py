"""Preflight looks at what a run will make, and at nothing that the store has."""

import json
import os
import time

import dagster as dg
import pytest

from pipeline.assets.every import full_train_assets
from pipeline.assets.naming import Naming
from pipeline.assets.stored_asset import StoreResource, asset_of
from pipeline.base.canonical import canonical_json
from pipeline.base.settings import identity_of
from pipeline.preflight.flight import flight_of
from pipeline.preflight.preflight import preflight
from pipeline.profile.profile import load_profile
from pipeline.store import Built, Store


@pytest.fixture
def made(own, tmp_path):
    """The own profile with its documents and held-out split in the store."""
    profile = load_profile(str(own()))
    assets = full_train_assets(profile)
    store = StoreResource(root=str(tmp_path / "store"), profile=profile.name)
    first = [
        asset_of(asset, Naming(profile.name)) for asset in assets if asset.key in ("documents/mine", "heldout/mine")
    ]
    assert dg.materialize(first, resources={"store": store}).success
    return profile, assets, store.open()


def test_what_is_in_the_store_is_not_made(made):
    flight = flight_of(*made[:1], made[2], made[1], {})
    assert not {"documents/mine", "heldout/mine"} & flight.makes
    assert {"corpus/mine", "model", "report"} <= flight.makes


def test_files_that_changed_are_read_anew(made, tmp_path):
    profile, assets, store = made
    later = time.time() + 60
    os.utime(tmp_path / "texts" / "a.txt", (later, later))
    assert "documents/mine" in flight_of(profile, store, assets, {}).makes


def test_other_settings_are_another_artifact(made, own):
    _, _, store = made
    other = load_profile(str(own("corpora: {mine: {split_bytes: 2_000}}\n")))
    flight = flight_of(other, Store(store.root, other.name), full_train_assets(other), {})
    assert "documents/mine" in flight.makes


def test_where_nothing_is_made_nothing_is_looked_at(made):
    profile, assets, store = made
    documents = [asset for asset in assets if asset.key == "documents/mine"]
    assert preflight(flight_of(profile, store, documents, {})) == []


def test_single_assets_need_what_comes_before_them(made):
    profile, assets, store = made
    tokens = [asset for asset in assets if asset.key == "tokens/mine"]
    (refused,) = [item for item in preflight(flight_of(profile, store, tokens, {})) if item.verdict == "refused"]
    assert "tokens/mine needs corpus/mine, tokenizer, which the store has not for the profile own" in refused.text
    assert """dagster asset materialize --select '+key:"own/tokens/mine"'""" in refused.text
    assert flight_of(profile, store, tokens, {}).trains is False


def test_the_launchpads_values_are_looked_at_too(made, machine):
    profile, assets, store = made
    machine()
    flight = flight_of(profile, store, assets, {"model": {"device": "cuda"}})
    assert any("training.device is 'cuda'" in item.text for item in preflight(flight))


@pytest.fixture
def trained(made, tmp_path):
    """A finished model with something before it to be made anew: one text was written again."""
    profile, assets, store = made
    model = next(asset for asset in assets if asset.key == "model")
    store.ensure(
        "model",
        code_version=model.version,
        identity=json.loads(canonical_json(identity_of(model.settings), where="model")),
        inputs={},
        build=lambda out: Built("0" * 32, {}),
    )
    later = time.time() + 60
    os.utime(tmp_path / "texts" / "a.txt", (later, later))
    return profile, assets, store


def test_a_finished_model_of_equal_settings_may_be_all_that_is_needed(trained):
    profile, assets, store = trained
    flight = flight_of(profile, store, assets, {})
    assert {"documents/mine", "model"} <= flight.makes
    assert flight.may_reuse == {"heldout/mine", "model"}
    other = flight_of(profile, store, assets, {"model": {"batch_tokens": 8192}})
    assert other.may_reuse == {"heldout/mine"}


def test_what_would_end_its_training_is_a_note_then(trained, machine, monkeypatch):
    profile, assets, store = trained
    machine()
    monkeypatch.setattr("pipeline.preflight.machine.available_memory", lambda: 1000)
    (memory,) = [item for item in preflight(flight_of(profile, store, assets, {})) if item.check == "memory"]
    assert memory.verdict == "note"
    assert memory.text.endswith(
        "(the store has model of these settings; only if it is made anew does this end the run)"
    )
    other = preflight(flight_of(profile, store, assets, {"model": {"batch_tokens": 8192}}))
    assert [item.verdict for item in other if item.check == "memory"] == ["refused"]
