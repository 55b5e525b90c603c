"""A whole build whose parts see nothing of the run: their arguments name all that they read."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.base.executor import InProcess
from tests.cluster.small_build import build
from tests.cluster.small_work import give_small_work_away
from tests.pipeline.engine.elsewhere import Elsewhere

pytest.importorskip("obstore", reason="obstore is missing: pip install '.[s3]'")


def test_parts_need_no_file_that_their_arguments_do_not_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give_small_work_away(monkeypatch.setattr)
    home = tmp_path / "home"
    alone = build(home / "alone", InProcess())
    executor = Elsewhere(tmp_path, home, home / "engine", monkeypatch)
    made = build(home / "engine", executor)
    parts = {"build_part", "write_prefixes", "scan_part", "write_sets", "compare", "find_suspects"}
    assert executor.parts == parts | {"scatter", "gather", "write_within"}
    assert list(made) == list(alone)
    assert [name for name in alone if made[name] != alone[name]] == []
