"""The folder tokenizers/ holds data, and `import tokenizers` gives the Hugging Face package wherever code runs."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def run(*words, cwd=ROOT, **environment):
    return subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_the_folder_holds_no_python():
    assert not list((ROOT / "tokenizers").rglob("*.py"))


def test_under_pytest():
    import tokenizers

    assert hasattr(tokenizers, "Tokenizer")


@pytest.mark.parametrize("words", [["-c", "import tokenizers; print(tokenizers.Tokenizer)"]])
def test_from_the_project_folder(words):
    assert "class" in run(sys.executable, *words).stdout


def test_under_torchrun(tmp_path):
    script = tmp_path / "show.py"
    script.write_text("import tokenizers; print(tokenizers.Tokenizer)")
    done = run(BIN / "torchrun", "--standalone", "--nproc-per-node=1", script)
    assert "tokenizers.Tokenizer" in done.stdout, done.stderr


def test_under_dagster(tmp_path):
    """A job of a code location loaded in the project folder, as `pipeline.definitions` is."""
    location = tmp_path / "location.py"
    location.write_text(
        textwrap.dedent("""
        import dagster as dg

        @dg.op
        def show(context):
            import tokenizers
            context.log.info(f"it is {tokenizers.Tokenizer}")

        @dg.job
        def look():
            show()
        """)
    )
    done = run(BIN / "dagster", "job", "execute", "-f", location, "-j", "look", DAGSTER_HOME="")
    assert done.returncode == 0, done.stderr
    assert "it is <class 'tokenizers.Tokenizer'>" in done.stderr
