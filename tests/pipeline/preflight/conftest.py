"""A profile of one's own on local files, which needs neither network nor archives, and what preflight says of it."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.assets.every import full_train_assets
from pipeline.preflight.flight import flight_of
from pipeline.preflight.preflight import preflight
from pipeline.profile.profile import load_profile
from pipeline.store import Store

OWN = """\
extends: sample
corpora:
  mine:
    sources: [{files: "texts/*.txt", format: whole}]
    split_bytes: 1_000
  fineweb_edu: null
  wikipedia: null
  books: null
  childrens_books: null
  multilingual: null
curation: {decontaminate_against: []}
tokenizers: {candidates: [bpe_1k], select: bpe_1k}
schedule:
  epochs: 4
  tokens_per_epoch: null
  stages: [{name: mixture, mixture: {mine: {repeats: 1}}}]
  language_temperature: null
training: {schedule: {warmup_steps: 5}}
evaluation: {suites: {hellaswag: null, arc_easy: null}}
"""


@pytest.fixture
def own(tmp_path):
    """The file of the profile, with another laid over it where one is given."""
    (tmp_path / "texts").mkdir()
    for name in "abcde":
        (tmp_path / "texts" / f"{name}.txt").write_text(f"A {name} of many words. " * 2000)
    (tmp_path / "own.yaml").write_text(OWN)

    def write(more=""):
        if not more:
            return tmp_path / "own.yaml"
        (tmp_path / "mine.yaml").write_text("extends: own.yaml\n" + more)
        return tmp_path / "mine.yaml"

    return write


@pytest.fixture
def free_disk(monkeypatch):
    """So many bytes are free, wherever one looks."""

    def make(free):
        monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free))

    return make


@pytest.fixture
def findings(tmp_path):
    """What preflight finds of a profile before anything is made."""

    def look(profile: str | Path, given=None, root=None):
        settings = load_profile(str(profile))
        store = Store(root or tmp_path / "store", settings.name)
        return preflight(flight_of(settings, store, full_train_assets(settings), given or {}))

    return look
