"""Memory that ran out is one sentence, whatever a library calls it, and never a damaged file."""

import errno
import resource
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.base.errors import CurationError, NoMemoryError, WorkerError
from pipeline.base.exhaustion import has_room, is_out_of_memory, naming_want_of_memory
from pipeline.base.parquet import read_table

WANTING = [
    MemoryError(),
    pa.lib.ArrowMemoryError("malloc of size 64 failed"),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    RuntimeError("can't start new thread"),
    pa.lib.ArrowException("Unknown error: Failed to launch worker thread: Resource temporarily unavailable"),
    ImportError("libtorch_cpu.so: failed to map segment from shared object"),
]


@pytest.mark.parametrize("error", WANTING, ids=str)
def test_want_of_memory_is_a_sentence_that_says_what_to_do(error):
    said = r"memory ran out while building corpus/web .* finished parts are kept"
    with pytest.raises(NoMemoryError, match=said), naming_want_of_memory("corpus/web"):
        raise error


def test_an_error_that_only_followed_from_it_is_one_too():
    """As a pool's, whose thread could not be started and is joined all the same."""
    followed = RuntimeError("cannot join thread before it is started")
    followed.__context__ = RuntimeError("can't start new thread")
    with pytest.raises(NoMemoryError), naming_want_of_memory("corpus/web"):
        raise followed


@pytest.mark.parametrize("error", [ValueError("x"), OSError(errno.ENOSPC, "full"), WorkerError("a worker was killed")])
def test_anything_else_passes_as_it_is(error):
    with pytest.raises(type(error)) as raised, naming_want_of_memory("corpus/web"):
        raise error
    assert raised.value is error


def test_a_file_is_not_called_damaged_for_want_of_memory(tmp_path, monkeypatch):
    import pyarrow.parquet as pq

    def wanting(path, **_):
        raise WANTING[1]

    monkeypatch.setattr(pq, "ParquetFile", wanting)
    with pytest.raises(MemoryError):
        read_table(tmp_path / "part.parquet")
    monkeypatch.undo()
    (tmp_path / "part.parquet").write_bytes(b"x" * 100)
    with pytest.raises(CurationError, match="damaged"):
        read_table(tmp_path / "part.parquet")


LIMITED = """
import resource, sys
sys.path.insert(0, "ROOT")
from pipeline.base.errors import NoMemoryError, WorkerError
from pipeline.base.executor import InProcess, Processes
from pipeline.base.exhaustion import naming_want_of_memory
from eater import eat

if __name__ == "__main__":
    with open("/proc/self/statm") as file:
        mapped = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + (int(sys.argv[1]) << 20),) * 2)
    try:
        made = Processes(2) if sys.argv[2] == "workers" else InProcess()
        with naming_want_of_memory("corpus/web"), made as executor:
            print(sum(executor.map(eat, [(1000,)] * 6)))
    except (NoMemoryError, WorkerError) as error:
        print("said:", error)
"""


EATER = """
def eat(megabytes):
    return len([bytearray(1 << 20) for _ in range(megabytes)])
"""


@pytest.mark.fault
@pytest.mark.parametrize("where", ["workers", "here"])
@pytest.mark.parametrize("megabytes", [1, 20, 100, 400])
def test_under_a_hard_limit_a_build_ends_with_a_sentence(tmp_path, megabytes, where):
    script = tmp_path / "limited.py"
    script.write_text(LIMITED.replace("ROOT", str(Path(__file__).parents[3])))
    (tmp_path / "eater.py").write_text(EATER)
    words = [sys.executable, str(script), str(megabytes), where]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.startswith("said: "), done.stderr
    assert "finished parts are kept" in done.stdout


def test_there_is_room_for_little_and_none_for_more_than_all_addresses():
    assert has_room(1 << 20)
    assert not has_room(1 << 60)
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY
    assert not is_out_of_memory(None)
