"""The notebooks: whole files without outputs, valid profiles; the one for a CPU runs from its first cell to its last.

Their commands are checked with those of the pages (tests/end_to_end/test_documented_commands.py).
"""

import ast
import importlib.util
import json
import os
import re
import sys
import tomllib
from pathlib import Path

import pytest

from pipeline.profile.profile import load_profile

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
by_name = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path):
    """(kind, text) of every cell."""
    return [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(path.read_text("utf-8"))["cells"]]


def profile_of(path):
    (text,) = [text for _, text in cells(path) if text.startswith("%%writefile mine.yaml\n")]
    return text.partition("\n")[2]


@by_name
def test_no_output_is_kept(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert code
    assert [cell["id"] for cell in code if cell["outputs"] or cell["execution_count"] is not None] == []


@by_name
def test_what_is_python_compiles_and_the_wheel_has_the_packages_name(path):
    for kind, text in cells(path):
        if kind == "code" and not text.startswith("%%"):
            ast.parse("\n".join(line for line in text.splitlines() if line[:1] not in "!%"))
    (wheel,) = re.findall(r'SQUEEZE = "(\S+)"', "".join(text for _, text in cells(path)))
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert wheel == f"squeeze_gpt-{version}-py3-none-any.whl"


@by_name
def test_its_profile_is_valid_and_trains_for_minutes(path, tmp_path):
    (tmp_path / "mine.yaml").write_text(profile_of(path), encoding="utf-8")
    profile = load_profile(str(tmp_path / "mine.yaml"))
    assert profile.training.max_minutes <= 20
    assert "mine" in profile.corpora


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("nbclient") is None, reason="needs the extra `notebook`")
def test_the_notebook_for_a_cpu_runs_to_its_end_and_shows_a_chart_a_score_and_a_text(tmp_path, monkeypatch):
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(ROOT / "docs" / "notebooks" / "cpu.ipynb", as_version=4)
    ran = []
    for cell in notebook.cells:
        if "install" in cell.metadata.get("tags", []):
            continue
        cell.source = cell.source.replace("max_minutes: 5", "max_minutes: 0.5")
        ran.append(cell)
        if re.search("^!", cell.source, re.MULTILINE):
            ran.append(nbformat.v4.new_code_cell("assert _exit_code == 0"))
    notebook.cells = ran
    for name in list(os.environ):
        if name.startswith(("DAGSTER_", "SQUEEZE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    NotebookClient(
        notebook, timeout=1200, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()

    shown = {cell.source.splitlines()[-1]: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}
    assert any("image/png" in output.get("data", {}) for output in shown["plt.show()"])
    said = {source: "".join(output.get("text", "") for output in outputs) for source, outputs in shown.items()}
    assert "xz" in said["!squeeze scorecard"]
    written = re.sub(r"\x1b\[\d*m", "", said['!squeeze generate "A statement is"'])  # a notebook is a terminal
    assert written.startswith("A statement is")
