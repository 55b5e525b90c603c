"""Programs on this machine: a process, or torchrun with its ranks, which dies with the thread that started it.

A program's modules are those of this process. Python would look for them in the working folder first, for torchrun's
ranks too, where somebody may have a `trainer` of their own; `PYTHONSAFEPATH` keeps it from that.
"""

from __future__ import annotations

import contextlib
import logging
import os
import site
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pipeline
from pipeline.launch.launcher import Handle, Program
from pipeline.launch.ranks import ranks_for

STOP_SECONDS: Final = 60.0
"""From the request to stop to the kill: a trainer takes up to `GRACE_SECONDS` for its checkpoint, torchrun a little
more."""


class LocalLauncher:
    """Starts programs as processes of this machine."""

    inherits = True

    def start(self, program: Program, log: logging.Logger) -> Handle:
        with contextlib.ExitStack() as files:
            output = files.enter_context(program.output.open("ab")) if program.output is not None else None
            process = subprocess.Popen(command(program, log), env=environment(program), stdout=output, stderr=output)
        return LocalHandle(process)


class LocalHandle:
    """A process of this machine."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def wait(self, seconds: float | None = None) -> int | None:
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def stop(self) -> None:
        self._process.terminate()
        if self.wait(STOP_SECONDS) is None:
            self._process.kill()
            self._process.wait()


def environment(program: Program) -> Mapping[str, str]:
    """This process's variables and the program's, with which Python finds the modules that this process has found."""
    variables = os.environ | program.environment
    return variables | modules_of_this(variables.get("PYTHONPATH"))


def modules_of_this(path: str | None) -> dict[str, str]:
    """The variables with which another Python finds the modules that this process has found; path: its PYTHONPATH."""
    here = str(Path(pipeline.__file__).parents[1])
    if here in site.getsitepackages():  # installed, so found anyway
        return {"PYTHONSAFEPATH": "1"}
    return {"PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(filter(None, (here, path)))}


def command(program: Program, log: logging.Logger) -> list[str]:
    """The words that run a program here."""
    words = [sys.executable]
    if program.shared is not None:
        started = ranks_for(program.shared.ranks, program.shared.device, program.shared.batch)
        if started.note:
            log.warning(started.note)
        words += ["-m", "trainer.launch", "--standalone", f"--nproc-per-node={started.ranks}"]
    return [*words, "-m", program.module, *program.arguments]
