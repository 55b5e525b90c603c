"""A wheel runs anywhere: installed in a new environment, in a folder with a `pipeline` and a `trainer` of its own."""

import json
import os
import subprocess
import sys
import urllib.request
import venv
import zipfile
from pathlib import Path

import pytest
from tiny_project import ROOT, Project
from web_server import dagster_dev

FOREIGN = 'raise SystemExit("this is another project\'s code")\n'
CONSOLE = "#!{python}\nimport sys\nfrom dagster._cli import main\nsys.exit(main())\n"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of this tree, or the one that SQUEEZE_WHEEL names (`packaging/release_check.sh`)."""
    if built := os.environ.get("SQUEEZE_WHEEL"):
        return Path(built)
    out = tmp_path_factory.mktemp("wheel")
    words = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", str(out), str(ROOT)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def programs(wheel, tmp_path_factory):
    """The `bin` of a new environment with the wheel, which borrows this environment's other packages."""
    folder = tmp_path_factory.mktemp("env")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    words = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps", str(wheel)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    site = next((folder / "lib").glob("python*/site-packages"))
    # a path file: packages are found there, while its own path files, an editable Squeeze's among them, are not read
    (site / "borrowed.pth").write_text(next(path for path in sys.path if path.endswith("site-packages")) + "\n")
    (folder / "bin" / "dagster").write_text(CONSOLE.format(python=python))
    (folder / "bin" / "dagster").chmod(0o755)
    return folder / "bin"


class Elsewhere(Project):
    """A project of somebody who has installed the wheel: a git checkout with Python packages of the same names."""

    linked = ()

    def __init__(self, folder, programs):
        super().__init__(folder)
        self.programs = programs
        self.profile.write_text(self.profile.read_text().replace(f"folder: {folder}/tokenizers", "folder: tokenizers"))
        for name in ("pipeline", "trainer"):
            (folder / name).mkdir()
            for module in ("__init__", "__main__", "definitions", "launch"):
                (folder / name / f"{module}.py").write_text(FOREIGN)
        (folder / "statistics.py").write_text(FOREIGN)
        subprocess.run(["git", "init", "-q", str(folder)], check=True)

    def environment(self, profile=None, **more):
        clean = super().environment(profile, **more)
        return {name: value for name, value in clean.items() if name != "PYTHONPATH"}


@pytest.fixture
def elsewhere(tmp_path, programs):
    return Elsewhere(tmp_path, programs)


def test_a_wheel_holds_the_two_packages_with_the_specifications_and_the_helps_for_literal_commands(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    top = {name.split("/")[0] for name in names if ".dist-info" not in name}
    helps = {f"{name}.{suffix}" for name in ("squeeze_default_location", "squeeze_lm_eval") for suffix in ("pth", "py")}
    assert top == {"pipeline", "trainer", *helps}
    assert {f"pipeline/tokenizers/{file.name}" for file in (ROOT / "tokenizers").iterdir()} <= names


def test_the_installed_package_is_imported_and_finds_every_built_in_specification(elsewhere, programs):
    code = """if True:
        import pipeline, tokenizers
        from pipeline.profile.profile import load_profile
        from pipeline.store.provenance import git_commit
        from pipeline.tokenization.specs import load_specs, specs_folders
        (folder,) = specs_folders(None)
        names = [file.stem for file in folder.glob("*.yaml")]
        print(len(load_specs([folder], names)), tokenizers.Tokenizer, git_commit(), pipeline.__file__)
    """
    words = elsewhere.run("python", "-P", "-c", code).stdout.split()
    assert int(words[0]) == len(list((ROOT / "tokenizers").glob("*.yaml")))
    assert words[2:4] == ["'tokenizers.Tokenizer'>", "None"]
    assert Path(words[4]).is_relative_to(programs.parent)


def test_the_first_assets_are_built_by_their_names_and_history_is_kept(elsewhere):
    elsewhere.run("dagster", "asset", "materialize", "--select", "tiny/documents/web,tiny/documents/tales")
    built = json.loads(elsewhere.run("squeeze", "ls", "--json").stdout)
    assert {row["key"] for row in built} == {"documents/web", "documents/tales"}
    assert (elsewhere.folder / ".dagster" / "history" / "runs.db").is_file()


@pytest.mark.slow
def test_the_web_ui_starts_and_shows_the_profile(elsewhere):
    query = "{repositoriesOrError {... on RepositoryConnection {nodes {name assetNodes {assetKey {path}}}}}}"
    with dagster_dev(elsewhere) as (_, address):
        asked = urllib.request.Request(
            f"{address}/graphql", json.dumps({"query": query}).encode(), {"Content-Type": "application/json"}
        )
        (found,) = json.load(urllib.request.urlopen(asked, timeout=60))["data"]["repositoriesOrError"]["nodes"]
    assert found["name"] == "tiny"
    assert ["tiny", "model"] in [asset["assetKey"]["path"] for asset in found["assetNodes"]]


@pytest.mark.slow
def test_the_whole_job_runs_by_its_name(elsewhere):
    built, _ = elsewhere.full_train()
    assert {"documents/web", "tokenizer/bpe_tiny", "shards/epoch_002", "model", "eval/bits_per_byte", "report"} <= built
    assert elsewhere.full_train()[0] == set()
    assert elsewhere.run("squeeze", "generate", "the king").stdout.startswith("the king")
