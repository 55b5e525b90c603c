"""A store with one small model, and the command `squeeze` as somebody types it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.store import Built, Store

TEXT = "the little fox lived in the little house by the river and the river ran by the house of the fox. " * 40
ROWS = 280


@pytest.fixture(scope="session")
def model_home(tmp_path_factory):
    """The store's root, with the sample's tokenizer and an untrained model."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    import torch
    from safetensors.torch import save_file

    from pipeline.tokenization.training.bpe import BpeSpec
    from pipeline.tokenization.training.build import build_tokenizer
    from trainer.model import GPT, ModelConfig
    from trainer.run.checkpoints.tensors import model_tensors

    mixture, home = tmp_path_factory.mktemp("mixture"), tmp_path_factory.mktemp("home")
    sample = {"text": [TEXT], "lang": ["en"], "corpus": ["books"], "bytes": pa.array([len(TEXT)], pa.uint32())}
    pq.write_table(pa.table(sample), mixture / "sample.parquet")
    spec = BpeSpec(kind="bpe", vocab_size=ROWS, pattern="gpt2")

    def tokenizer(folder):
        build_tokenizer("small", spec, folder, cache=mixture, folder=mixture, mixture=mixture)
        return Built("tokenizer")

    def model(folder):
        torch.manual_seed(0)
        made = GPT(ModelConfig(vocab_size=ROWS, context=64, width=16, layers=1, heads=2))
        (folder / "config.json").write_text(json.dumps(made.config.to_dict()))
        save_file(model_tensors(made), folder / "model.safetensors")
        return Built("model")

    store = Store(home, "sample").open()
    chosen = store.ensure("tokenizer", code_version="1", identity={}, inputs={}, build=tokenizer).artifact
    store.ensure("model", code_version="1", identity={"width": 16}, inputs={"tokenizer": chosen}, build=model)
    return home


@pytest.fixture
def squeeze(model_home, tmp_path):
    """Run the command in an empty folder; returns the finished process, its output as bytes."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("DAGSTER_", "SQUEEZE_", "LC_"))}

    def run(*words, **environment):
        return subprocess.run(
            [str(Path(sys.executable).parent / "squeeze"), *words],
            cwd=tmp_path,
            env=clean | {"SQUEEZE_HOME": str(model_home)} | environment,
            capture_output=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
        )

    return run
