"""Workers elsewhere compare their Python, libraries and code with the run's."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pipeline.base.errors import EngineError
from pipeline.engine.same_code import CODE, code_hash, require_same, versions


def test_what_decides_the_bytes_is_compared() -> None:
    found = dict(versions())
    assert found["Python"] == f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert {"machine", "numpy", "pyarrow", "gigatoken", "code"} <= set(found)
    require_same(versions())


def test_a_difference_is_named_with_what_to_do() -> None:
    other = tuple((name, "1.0" if name == "numpy" else version) for name, version in versions())
    with pytest.raises(EngineError, match=r"has numpy [\d.]+, not 1\.0; absent missing, not 2, as"):
        require_same((*other, ("absent", "2")))


def test_the_code_is_its_sources_wherever_they_lie(tmp_path: Path) -> None:
    hashes = []
    for name, line in (("a", "x = 1"), ("b", "x = 1"), ("c", "x = 2")):
        for room in CODE:
            (tmp_path / name / room).mkdir(parents=True)
            (tmp_path / name / room / "m.py").write_text(line)
        hashes.append(code_hash(tmp_path / name))
    assert hashes[0] == hashes[1] != hashes[2]
