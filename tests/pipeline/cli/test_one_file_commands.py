"""`squeeze export --bits`, `--format gguf` and `squeeze score`: a model in one file, out of the store and back."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from pipeline.base.errors import SqueezeError
from pipeline.cli.app import app
from pipeline.cli.publishing import write_gguf
from pipeline.store import Built, Store
from trainer.errors import ExportError


def test_a_file_of_few_bits_is_written_once_and_never_over_another(squeeze, tmp_path):
    file = tmp_path / "small.xz"
    done = squeeze("export", "--bits", "4", "--method", "nearest", "--out", str(file))
    assert done.returncode == 0, done.stderr
    said = done.stdout.decode()
    assert f"{file}: " in said
    assert "with the tokenizer, 1/" in said
    assert file.stat().st_size < 12_000
    again = squeeze("export", "--bits", "4", "--method", "nearest", "--out", str(file))
    assert again.returncode == 1
    assert b"exists already" in again.stderr


def test_what_it_cannot_do_it_says(squeeze, tmp_path):
    wrong = squeeze("export", "--bits", "4", "--push-to-hub", "me/x")
    assert b"--bits writes one file: name it with --out FILE" in wrong.stderr
    wrong = squeeze("export", "--bits", "4", "--out", str(tmp_path / "m"))
    assert b"was not trained on shards of the store" in wrong.stderr
    assert not (tmp_path / "m").exists()


def test_a_gguf_file_holds_the_stores_model_and_is_never_written_over(model_home, tmp_path):
    import gguf
    import torch
    from safetensors.torch import save_file

    from trainer.model import GPT, ModelConfig
    from trainer.run.checkpoints.tensors import model_tensors

    shutil.copytree(model_home, tmp_path / "home")
    store = Store(tmp_path / "home", "sample").open()
    shape = {"position": "learned", "norm": "layernorm", "mlp": "gelu", "attention_input": "3n", "qk_norm": False}
    model = GPT(ModelConfig(vocab_size=280, context=64, width=32, layers=1, heads=2, ff_width=32, **shape))

    def build(folder):
        (folder / "config.json").write_text(json.dumps(model.config.to_dict()))
        save_file(model_tensors(model), folder / "model.safetensors")
        return Built("gpt2")

    chosen = store.current("tokenizer")
    store.ensure("model", code_version="1", identity=shape, inputs={"tokenizer": chosen}, build=build)
    file = tmp_path / "model.gguf"
    said = write_gguf(store, file, 8)
    assert said.startswith(f"{file}: gpt2, ")
    assert "5 tensors in Q8_0" in said  # the embeddings, two matrices of attention, two of the MLP
    (found,) = [item for item in gguf.GGUFReader(file).tensors if item.name == "token_embd.weight"]
    whole = torch.from_numpy(gguf.quants.dequantize(found.data, found.tensor_type).copy())
    torch.testing.assert_close(whole, model.embed.weight.detach(), atol=1e-3, rtol=0)
    with pytest.raises(SqueezeError, match="exists already; name a file that does not"):
        write_gguf(store, file, 8)


def test_what_gguf_cannot_do_is_refused_by_name(model_home, tmp_path, monkeypatch):
    monkeypatch.setenv("SQUEEZE_HOME", str(model_home))
    words = ["export", "--format", "gguf", "--profile", "sample", "--out", str(tmp_path / "m.gguf")]
    with pytest.raises(ExportError, match="this model is a Qwen3NextForCausalLM: export it with transformers"):
        CliRunner().invoke(app, words, catch_exceptions=False)
    with pytest.raises(SqueezeError, match="without --push-to-hub, --group and --method"):
        CliRunner().invoke(app, [*words, "--group", "32"], catch_exceptions=False)
    assert not (tmp_path / "m.gguf").exists()
