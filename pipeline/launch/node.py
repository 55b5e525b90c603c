"""`python -m pipeline.launch.node ATTEMPT NODE`: a node's part of a run, wherever a launcher has placed it.

In: the folder of an attempt, and the node's number or the variable that has it. It finds out how many ranks this
machine gets, where the nodes meet, is torchrun's parent, and says in the folder that it lives and how its part ended.

What always holds: torchrun and its ranks end before it does; and it ends them, after a checkpoint, on a signal, when
the attempt is to stop, when the process that placed it dies, or when nothing is heard of the supervisor any more.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Final

from pipeline.base.errors import LaunchError
from pipeline.launch.ranks import Batch, ranks_for
from pipeline.launch.run_folder import Attempt, NodeState
from trainer.errors import TrainerError
from trainer.process.complaint import EXIT_ERROR, EXIT_SETTINGS
from trainer.process.signals import EXIT_UNFINISHED, GRACE_SECONDS, die_with_parent, heeded_stops

BEAT_SECONDS: Final = 1.0
POLL_SECONDS: Final = 0.2
STOP_SECONDS: Final = GRACE_SECONDS + 15
"""From the request to stop to the kill; torchrun kills its ranks before that."""
_PR_SET_CHILD_SUBREAPER: Final = 36


class Node:
    """One machine's part of an attempt."""

    def __init__(self, attempt: Attempt, number: int) -> None:
        """Raises LaunchError where the job cannot be read."""
        self.attempt, self.number = attempt, number
        self.job = attempt.run.job()
        self.launch = self.job.launch
        self.state = NodeState("", socket.gethostname())
        self.asked = False
        self._over = threading.Event()
        self._writing = threading.Lock()
        self._heard, self._heard_at = "", time.monotonic()

    def run(self) -> int:
        """Take part; returns the exit status."""
        for number in heeded_stops():
            signal.signal(number, self._ask)
        _adopt_orphans()
        beating = threading.Thread(target=self._beat, daemon=True)
        beating.start()
        said = ""
        try:
            status = self._take_part()
        except (LaunchError, TrainerError) as error:
            status, said = EXIT_SETTINGS, str(error)
        except Exception as error:
            status, said = EXIT_ERROR, f"{type(error).__name__}: {error}"
        self._over.set()
        beating.join()
        self._say(status=status, said=said)
        return status

    def _take_part(self) -> int:
        words = self._words()
        if words is None:
            return EXIT_UNFINISHED
        environment = os.environ | self.job.environment
        if self.launch.nodes > 1:
            environment |= {"GLOO_SOCKET_IFNAME": self._interface, "NCCL_SOCKET_IFNAME": self._interface}
        with self.attempt.run.node_log(self.number).open("ab") as output:
            agent = subprocess.Popen(words, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        deadline = None
        while (status := agent.poll()) is None:
            if deadline is None and self._should_stop():
                agent.terminate()
                deadline = time.monotonic() + STOP_SECONDS
            if deadline is not None and time.monotonic() > deadline:
                agent.kill()
            time.sleep(POLL_SECONDS)
        _outlive_orphans()
        return status

    def _words(self) -> list[str] | None:
        """torchrun's command line; none where the attempt is to stop before the nodes have met."""
        nodes, launch = self.launch.nodes, self.launch
        batch = Batch(self.job.sequences // nodes, self.job.tokens // nodes)
        started = ranks_for(launch.ranks, self.job.device, batch)
        if started.note:
            self._log(started.note)
        words = [sys.executable, "-m", "trainer.launch", f"--nproc-per-node={started.ranks}"]
        program = ["-m", self.job.module, *self.job.arguments]
        if nodes == 1:
            return [*words, "--standalone", *program]
        self._interface, address = own_address(launch.interface)
        if self.number == 0:
            with socket.create_server((address, 0)) as probe:
                port = probe.getsockname()[1]
            self._say(address=address, port=port)
        else:
            while (first := self.attempt.node(0)) is None or not first.port:
                if self._should_stop():
                    return None
                time.sleep(POLL_SECONDS)
            address, port = first.address, first.port
        meeting = [f"--nnodes={nodes}", f"--node-rank={self.number}", f"--master-addr={address}"]
        return [*words, *meeting, f"--master-port={port}", "--max-restarts=0", *program]

    def _should_stop(self) -> bool:
        return self.asked or self.attempt.asked_to_stop() or self._supervisor_is_gone()

    def _supervisor_is_gone(self) -> bool:
        if (beat := self.attempt.last_beat()) != self._heard:
            self._heard, self._heard_at = beat, time.monotonic()
        return time.monotonic() - self._heard_at > self.launch.lost_seconds

    def _beat(self) -> None:
        while True:
            with contextlib.suppress(OSError):  # a file system that comes back, or a supervisor that takes it for lost
                self._say()
            if self._over.wait(BEAT_SECONDS):
                return

    def _say(self, **more: int | str) -> None:
        with self._writing:
            self.state = dataclasses.replace(self.state, beat=secrets.token_hex(8), **more)  # type: ignore[arg-type]
            self.attempt.write_node(self.number, self.state)

    def _log(self, line: str) -> None:
        with self.attempt.run.node_log(self.number).open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%H:%M:%S')} node {self.number}: {line}\n")

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True


def own_address(interface: str | None) -> tuple[str, str]:
    """(interface, address) by which the other nodes reach this one: that of the default route unless one is named.

    Raises LaunchError where there is no such interface, or it has no address.
    """
    import psutil

    there = {
        name: [item.address for item in items if item.family == socket.AF_INET]
        for name, items in psutil.net_if_addrs().items()
    }
    if interface is not None:
        if not there.get(interface):
            raise LaunchError(
                f"launch.interface is {interface!r}, which {socket.gethostname()} has not, or without an address; it "
                f"has {', '.join(name for name, found in there.items() if found)}"
            )
        return interface, there[interface][0]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # of no machine (RFC 5737), and nothing is sent: it only asks for the way
            address = probe.getsockname()[0]
        except OSError:
            address = "127.0.0.1"
    named = next((name for name, found in there.items() if address in found), None)
    if named is None:
        raise LaunchError(f"no network interface of {socket.gethostname()} has {address}: set launch.interface")
    return named, address


def _adopt_orphans() -> None:
    """Have ranks whose torchrun is killed become children of this process, which waits for them."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _outlive_orphans() -> None:
    """Wait for ranks that torchrun left behind, which have been asked to end; kill what does not."""
    deadline = time.monotonic() + GRACE_SECONDS + 5
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            if time.monotonic() > deadline:
                import psutil

                for child in psutil.Process().children(recursive=True):
                    child.kill()
            time.sleep(POLL_SECONDS)


def main() -> int:
    die_with_parent()
    attempt, word = Attempt(Path(sys.argv[1])), sys.argv[2]
    number = int(word if word.isdigit() else os.environ[word])
    try:
        node = Node(attempt, number)
    except LaunchError as error:  # the code was changed under a supervisor that lives
        state = NodeState(secrets.token_hex(8), socket.gethostname(), status=EXIT_SETTINGS, said=str(error))
        attempt.write_node(number, state)
        return EXIT_SETTINGS
    return node.run()


if __name__ == "__main__":
    sys.exit(main())
