"""Parts as the elements of a Slurm job array, over a folder that all nodes see.

    tasks.pickle             what is to be done, by this process
    result-<task>.pickle     what a task returned or raised, by an element of the array
    alive                    touched while this process waits; elements end some time after it no longer is

Each element does every n-th task, and leaves out those with a result, so one that Slurm starts again goes on. Where an
array ends with tasks undone (a node was lost, a time limit met), another does them, three times. squeue is asked now
and then, and results are looked for in between: an array may be over and its accounting gone.
"""

from __future__ import annotations

import logging
import os
import pickle
import secrets
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Any, Final, TypeVar

from pipeline.base.errors import EngineError, WorkerError
from pipeline.base.executor import InProcess, Shared, name_of, put_pickled, require_wanted
from pipeline.base.files import TEMPORARY
from pipeline.engine.same_code import ROOT, versions
from pipeline.engine.settings import SlurmEngine
from pipeline.engine.slurm_element import ALIVE, TASKS, result_file

R = TypeVar("R")
T = TypeVar("T")
ATTEMPTS: Final = 3
"""Arrays over the same tasks before what they leave undone is an error."""
LOOK_EVERY: Final = (0.05, 1.0)
"""Seconds between two looks for results: at first, and at most."""
ASK_EVERY: Final = 5.0
"""Seconds between two questions to squeue."""
LINGER: Final = 5.0
"""Seconds after an array's end in which its last results may yet show in the folder."""
SILENCE: Final = 600.0
"""Seconds for which Slurm's controller may not answer."""
log = logging.getLogger(__name__)


class SlurmArray(InProcess):
    """Maps over what Slurm gives: an array a map."""

    elsewhere = True

    def __init__(self, settings: SlurmEngine, folder: Path, *, setting: str = "workers") -> None:
        """folder: where all nodes see it; what this leaves there is removed. setting: as for `Processes`."""
        self._settings, self._parent, self._setting = settings, folder.absolute(), setting
        self.slots = self.machines = settings.slots
        self._folder: Path | None = None
        self._making = threading.Lock()
        self._shared: list[Shared[Any]] = []

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shared.clear()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def share(self, value: T) -> Shared[T]:
        self._shared.append(shared := Shared(value))
        return shared

    def map(
        self,
        function: Callable[..., R],
        tasks: Sequence[tuple[Any, ...]],
        *,
        ordered: bool = True,
        worth: bool = True,
        most_at_once: int | None = None,
    ) -> Iterator[R]:
        if len(tasks) < 2 or not worth:
            yield from super().map(function, tasks)
            return
        place = self._place()
        for shared in self._shared:
            shared.send(lambda value: put_pickled(value, place))
        elements = min(self.slots, most_at_once or self.slots, len(tasks))
        yield from self._by_array(function, tasks, elements, ordered)

    def run(
        self,
        function: Callable[..., R],
        task: tuple[Any, ...],
        *,
        reads: Iterable[Path] = (),
        stop: Event | None = None,
    ) -> R:
        (result,) = self._by_array(function, [task], 1, ordered=True, stop=stop)
        return result

    def _place(self) -> Path:
        """The folder of this executor, made when it is first needed."""
        with self._making:
            if self._folder is None:
                self._folder = self._parent / f"slurm-{secrets.token_hex(8)}{TEMPORARY}"
                self._folder.mkdir(mode=0o700, parents=True)
            return self._folder

    def _by_array(
        self,
        function: Callable[..., R],
        tasks: Sequence[tuple[Any, ...]],
        elements: int,
        ordered: bool,
        stop: Event | None = None,
    ) -> Iterator[R]:
        folder = self._place() / secrets.token_hex(4)
        folder.mkdir()
        with (folder / TASKS).open("wb") as file:
            pickle.dump((versions(), function, list(tasks)), file, protocol=pickle.HIGHEST_PROTOCOL)
        name = f"squeeze-{name_of(function)}"
        array = _Array(self._settings, folder, name, elements, len(tasks))
        try:
            yield from self._results(array, len(tasks), ordered, stop)
        finally:
            array.cancel()
            shutil.rmtree(folder, ignore_errors=True)

    def _results(self, array: _Array, count: int, ordered: bool, stop: Event | None) -> Iterator[Any]:
        waiting = dict.fromkeys(range(count))
        pause = LOOK_EVERY[0]
        while waiting:
            require_wanted(stop)
            there = array.finished()
            ready = []
            for task in waiting:
                if task in there:
                    ready.append(task)
                elif ordered:
                    break
            for task in ready:
                del waiting[task]
                yield self._returned(array.folder, task)
            if ready:
                pause = LOOK_EVERY[0]
            elif not array.runs():
                if waiting.keys() - array.finished():
                    self._start_again(array, len(waiting))
            else:
                time.sleep(pause)
                pause = min(2 * pause, LOOK_EVERY[1])

    def _start_again(self, array: _Array, undone: int) -> None:
        if array.attempts == ATTEMPTS:
            raise WorkerError(
                f"{ATTEMPTS} arrays of Slurm ended with {undone} parts undone, for want of memory or time most likely: "
                f"ask for more with engine.options or lower {self._setting}, and run the same command again: finished "
                f"parts are kept. Their last words: {array.last_words()}"
            )
        if array.attempts:
            log.warning("Slurm: %s ended with %d parts undone, which another array does", array.job, undone)
        array.submit()

    def _returned(self, folder: Path, task: int) -> Any:
        file = result_file(folder, task)
        with file.open("rb") as stream:
            whole, value = pickle.load(stream)
        os.truncate(file, 0)  # a name is enough: an element that starts again leaves the task out
        if not whole:
            raise value
        return value


class _Array:
    """One job array after another over the tasks in a folder."""

    def __init__(self, settings: SlurmEngine, folder: Path, name: str, elements: int, tasks: int) -> None:
        self.folder, self.attempts, self.job = folder, 0, ""
        self._settings, self._name, self._elements = settings, name, elements
        self._asked = self._answered = 0.0
        self._gone: float | None = None
        self._done: set[int] = set()

    def submit(self) -> None:
        """Queue an array. Raises EngineError with what sbatch says."""
        (self.folder / ALIVE).touch()
        command = [sys.executable, "-m", "pipeline.engine.slurm_element", str(self.folder), str(self._elements)]
        words = [
            "sbatch",
            "--parsable",
            f"--array=0-{self._elements - 1}",
            f"--job-name={self._name}",
            f"--output={self.folder}/said-{self.attempts}-%a.txt",
            *self._settings.options,
            f"--wrap=exec {shlex.join(command)}",
        ]
        self.job = _slurm(words).partition(";")[0].strip()
        self.attempts += 1
        self._asked = self._answered = time.monotonic()
        self._gone = None

    def finished(self) -> set[int]:
        """Tasks with a result. A listing, since a shared folder may remember for long that a file was not there."""
        self._done.update(int(file.stem.partition("-")[2]) for file in self.folder.glob("result-*"))
        return self._done

    def runs(self) -> bool:
        """Whether an element waits or runs, as far as is known, or ended a moment ago."""
        if not self.attempts:
            return False
        now = time.monotonic()
        if self._gone is None and now - self._asked >= ASK_EVERY:
            self._asked = now
            (self.folder / ALIVE).touch()
            if not self._listed(now):
                self._gone = now
        return self._gone is None or now - self._gone < LINGER

    def _listed(self, now: float) -> bool:
        """Whether squeue knows of an element. A controller that does not answer now may do so later."""
        try:
            listed = _slurm(["squeue", "--noheader", f"--jobs={self.job}", "--format=%T"])
        except EngineError as error:
            if "Invalid job id" in str(error):
                return False
            if now - self._answered > SILENCE:
                raise
            log.warning("Slurm: %s", error)
            return True
        self._answered = now
        return bool(listed.split())

    def cancel(self) -> None:
        """End what still runs."""
        if self.job:
            try:
                _slurm(["scancel", "--quiet", self.job])
            except EngineError as error:
                log.warning("Slurm: %s", error)

    def last_words(self) -> str:
        """The end of what an element printed."""
        said = [file.read_text(errors="replace").strip() for file in sorted(self.folder.glob("said-*.txt"))]
        return next((text[-400:] for text in reversed(said) if text), "none")


def _slurm(words: Sequence[str]) -> str:
    """What a command of Slurm's prints. Raises EngineError with what it says is wrong."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, env=_environment(), check=False)
    except FileNotFoundError:
        raise EngineError(f"engine: slurm needs the command {words[0]}: run on a login node of the cluster") from None
    except subprocess.TimeoutExpired:
        raise EngineError(f"{words[0]} did not answer within 120 seconds") from None
    if done.returncode:
        raise EngineError(f"{words[0]}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def _environment() -> Mapping[str, str]:
    """What commands and elements see: this code, and nothing of a job that this process may itself be part of."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    if "SLURM_CONF" in os.environ:
        kept["SLURM_CONF"] = os.environ["SLURM_CONF"]
    return kept | {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
