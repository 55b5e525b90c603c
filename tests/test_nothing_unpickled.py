"""No file that somebody else could have written is unpickled: a pickle runs what is in it."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
UNPICKLES = re.compile(
    r"\bpickle\.loads?\b|\bUnpickler\b|\btorch\.load\b|allow_pickle\s*=\s*True|\b(?:dill|joblib|cloudpickle|shelve)\b"
    r"|weights_only\s*=\s*False|yaml\.(?:unsafe_|full_)?load\(|YAML\(typ=[\"']unsafe"
)
ALLOWED = {
    "pipeline/base/executor.py": 1,
    "pipeline/engine/carried.py": 1,
    "pipeline/engine/slurm_array.py": 1,
    "pipeline/engine/slurm_element.py": 2,
}
"""What a run and its workers hand each other through a folder that the run made, and that nobody else may enter; and a
look at whether an error can be handed so."""


def test_no_code_unpickles_a_file():
    found = {}
    for room in ("pipeline", "trainer", "packaging"):
        for file in (ROOT / room).rglob("*.py"):
            lines = [line for line in file.read_text().splitlines() if UNPICKLES.search(line)]
            if lines:
                found[file.relative_to(ROOT).as_posix()] = len(lines)
    assert found == ALLOWED
