"""`squeeze export`: the model's files, and none of the store's, in a folder or on the hub."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.store import Built, Store

BIN = Path(sys.executable).parent
FILES = {
    "config.json": b'{"architectures": ["LlamaForCausalLM"]}',
    "model.safetensors": bytes(range(256)) * 64,
    "README.md": b"---\nlicense: apache-2.0\n---\n# A card\n",
}


@pytest.fixture
def home(tmp_path):
    """A store whose `sample` profile has an exported model."""
    store = Store(tmp_path / "store", "sample").open()

    def build(folder):
        for name, content in FILES.items():
            (folder / name).write_bytes(content)
        return Built("hash", {"architecture": "LlamaForCausalLM"})

    model = store.ensure("model", code_version="1", identity={}, inputs={}, build=lambda _: Built("model")).artifact
    store.ensure("model_hf", code_version="1", identity={}, inputs={"model": model}, build=build)
    return tmp_path / "store"


@pytest.fixture
def hub(tmp_path):
    """(address, folder) of a local hub that takes uploads."""
    folder = tmp_path / "hub"
    folder.mkdir()
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("upload_server.py")), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    yield f"http://127.0.0.1:{server.stdout.readline().strip()}", folder
    server.kill()
    server.wait()


def export(home, *words, **environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "SQUEEZE_"))}
    clean |= {"SQUEEZE_HOME": str(home), "HF_HOME": str(home / "hf"), "HF_HUB_DISABLE_XET": "1"}
    return subprocess.run(
        [str(BIN / "squeeze"), "export", *words], env=clean | environment, capture_output=True, text=True, timeout=120
    )


def contents(folder):
    """The files, with the card, which is written anew, only as the name it carries."""
    found = {item.name: item.read_bytes() for item in folder.iterdir() if not item.name.startswith(".")}
    assert b"\n# squeeze-sample\n" in found["README.md"]
    return found | {"README.md": FILES["README.md"]}


def test_a_copy_has_the_models_files_alone(home, tmp_path):
    done = export(home, "--out", str(tmp_path / "mine"))
    assert "LlamaForCausalLM" in done.stdout
    assert contents(tmp_path / "mine") == FILES
    again = export(home, "--out", str(tmp_path / "mine"))
    assert again.returncode == 1
    assert "exists already" in again.stderr


def test_a_push_is_one_commit_of_the_same_files(home, hub):
    address, folder = hub
    done = export(home, "--push-to-hub", "me/tiny", "--private", HF_ENDPOINT=address, HF_TOKEN="good")
    assert f"{address}/me/tiny/commit/" in done.stdout, done.stderr
    assert contents(folder / "me/tiny") == FILES
    assert "private" in (folder / "me/tiny/.asked").read_text()
    (commit,) = [json.loads(line) for line in (folder / "commits.jsonl").read_text().splitlines()]
    assert commit["summary"].startswith("Upload model_hf ")


@pytest.mark.parametrize(
    ("words", "environment", "message"),
    [
        (("--push-to-hub", "me/tiny"), {"HF_TOKEN": "bad"}, r"the hub refused (403)"),
        (("--push-to-hub", "me/tiny"), {"HF_ENDPOINT": "http://127.0.0.1:1", "HF_TOKEN": "good"}, "cannot be reached"),
        (("--push-to-hub", "a/b/c"), {"HF_TOKEN": "good"}, "not a repository's name"),
        ((), {}, "say where to"),
    ],
)
def test_a_refusal_says_what_to_do(home, hub, words, environment, message):
    done = export(home, *words, **{"HF_ENDPOINT": hub[0]} | environment)
    assert done.returncode == 1
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
