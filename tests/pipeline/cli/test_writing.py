"""`squeeze generate` and `squeeze chat`: exactly the text, as it comes; wrong settings are told before torch loads."""

import io
import sys

import pytest

from pipeline.cli.terminal import open_store
from pipeline.cli.writing.chat import chat
from pipeline.cli.writing.model import facts_beside, load_writer
from trainer.sampling import Sampling


@pytest.fixture(scope="module")
def store(model_home):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SQUEEZE_HOME", str(model_home))
        return open_store("sample")


@pytest.fixture(scope="module")
def writer(store):
    return load_writer(store, store.current("model"))


def test_the_prompt_is_printed_as_it_is(squeeze):
    prompt = ":apple: [bold]x[/]\ta\r\n  ‘é’ \x1b[31m"
    done = squeeze("generate", prompt, "--tokens", "3", PYTHONIOENCODING="utf-8")
    assert done.stdout.startswith(prompt.encode()), done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--tokens", "0"], b"max_new_tokens must be above 0, found 0"),
        (["--temperature", "-1"], b"temperature must be a number not below 0"),
        (["--top-k", "-1"], b"top_k must not be below 0"),
        (["--seed", "1" + "0" * 30], b"seed must be from"),
    ],
)
def test_a_setting_out_of_range_is_a_sentence(squeeze, words, said):
    done = squeeze("generate", "x", *words)
    assert done.returncode == 1
    assert said in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ("lowest_loss", b"weights: lowest_loss cannot be loaded"),
        ("ema", b"a run keeps them where training.ema_horizon or average_share is set"),
        ("best", b"best is called averaged now"),
        ("newest", b"weights: found 'newest'; there are averaged, model, ema, lowest_loss"),
    ],
)
def test_weights_that_the_run_did_not_keep_write_nothing(squeeze, weights, said):
    done = squeeze("generate", "x", "--weights", weights)
    assert (done.returncode, done.stdout) == (1, b"")
    assert said in done.stderr
    assert b"Traceback" not in done.stderr


def test_the_weights_asked_for_are_those_that_write(store, tmp_path):
    import shutil
    from types import SimpleNamespace

    import torch
    from safetensors.torch import load_file, save_file

    shutil.copytree(store.current("model").path, tmp_path / "model")
    kept = {
        name: torch.full_like(tensor, 3) for name, tensor in load_file(tmp_path / "model/model.safetensors").items()
    }
    save_file(kept, tmp_path / "model/best.safetensors")
    artifact = SimpleNamespace(path=tmp_path / "model", manifest=store.current("model").manifest)
    model = load_writer(store, artifact, "lowest_loss").model
    assert all(bool((parameter == 3).all()) for parameter in model.parameters())


def test_wrong_settings_are_told_before_torch_is_loaded(monkeypatch):
    from typer.testing import CliRunner

    from pipeline.cli.app import app

    monkeypatch.setitem(sys.modules, "torch", None)  # importing it fails
    for command in (["generate", "x"], ["chat"]):
        done = CliRunner().invoke(app, [*command, "--tokens", "0"])
        assert "max_new_tokens" in str(done.exception)


def test_a_prompt_that_is_no_text_is_a_sentence(squeeze):
    done = squeeze("generate", b"\xff", PYTHONIOENCODING="utf-8")
    assert done.returncode == 1
    assert b"lone surrogate" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("text", ["", "the fox", "\N{SNOWMAN}\N{PILE OF POO}"])
def test_pieces_joined_are_the_decoded_continuation(writer, text):
    from trainer.generate import generate

    ids = [writer.tokenizer.eot_id, *writer.tokenizer.encode(text)]
    expected = list(generate(writer.model, ids, max_new_tokens=40, seed=3, eot_id=writer.tokenizer.eot_id))
    pieces = list(writer.continued(text, Sampling(40, seed=3)))
    assert "".join(pieces) == writer.tokenizer.decode(expected)
    assert len(pieces) > 5


def test_no_piece_ends_within_a_character(writer, monkeypatch):
    ids = writer.tokenizer.encode("a\N{SNOWMAN}b")
    monkeypatch.setattr("trainer.generate.generate", lambda *_, **__: iter(ids))
    pieces = list(writer.continued("", Sampling(9)))
    assert "\N{SNOWMAN}" in "".join(pieces)
    assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)


def test_facts_leave_out_what_is_not_known(store):
    artifact = store.current("model")
    assert facts_beside(store, artifact) == {"profile": "sample", "fingerprint": artifact.fingerprint[:8]}


class Echo:
    """A writer that says what text it was given, and with which seed."""

    def __init__(self):
        self.given = []

    def continued(self, text, sampling):
        self.given.append((text, sampling.seed))
        yield from ("so", "me")
        if text.endswith("stop"):
            raise KeyboardInterrupt
        yield "thing"


def turns(*lines):
    """What a chat over these lines printed, and what its writer was given."""
    told, echo, out = iter(lines), Echo(), io.StringIO()

    def read(_):
        try:
            return next(told)
        except StopIteration:
            raise EOFError from None

    chat(echo, Sampling(5, seed=10), {"parameters": "9"}, read, out)
    return out.getvalue(), echo.given


def test_a_chat_says_what_the_model_is_and_adds_to_one_text():
    said, given = turns("a", "", "b ", "/new", "c", "/quit", "never")
    assert "parameters 9" in said
    assert "does not answer" in said
    assert given == [("a", 10), ("asomething", 11), ("asomethingsomething\nb ", 12), ("c", 13)]


def test_ctrl_c_stops_a_turn_and_keeps_what_was_written():
    said, given = turns("stop", "")
    assert given[1] == ("stopsome", 11)
    assert "some\n" in said


def test_a_chat_reads_lines_from_a_pipe(squeeze):
    done = squeeze("chat", "--tokens", "3")
    assert done.returncode == 0, done.stderr
    assert b"goes on with your text" in done.stdout
