"""A Ray of two nodes on loopback: each a `ray start --block` that this process started, and ends by its pid.

`ray stop` would end every Ray of the machine. 127.0.0.1 would be taken for the machine's own address.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil

RAY = Path(sys.executable).with_name("ray")
PATIENCE = 300
ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}


class RayNodes:
    """Nodes that come and go; `address` is the first one's."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.environment = os.environ | ENVIRONMENT | environment
        self.temporary = tempfile.mkdtemp(prefix="r", dir="/tmp")  # paths of sockets are short
        self.nodes: dict[int, subprocess.Popen] = {}
        self.address = ""

    def start(self, number: int, cpus: int = 1, **environment: str) -> None:
        """Have a node; further attempts where Ray gave up within its 30 seconds, on a busy machine."""
        for _ in range(5):
            if self._begun(number, cpus, environment):
                return
        assert self._begun(number, cpus, environment), (self.folder / f"ray-{number}.log").read_text()

    def _begun(self, number: int, cpus: int, environment: dict[str, str]) -> bool:
        log = self.folder / f"ray-{number}.log"
        words = [RAY, "start", "--block", f"--node-ip-address=127.0.0.{number + 2}", f"--num-cpus={cpus}"]
        words += ["--object-store-memory=100000000", "--disable-usage-stats"]
        if number == 0:
            words += ["--head", "--port=0", "--include-dashboard=false", f"--temp-dir={self.temporary}"]
        else:
            words += [f"--address={self.address}"]
        with log.open("w") as said:
            self.nodes[number] = subprocess.Popen(
                list(map(str, words)),
                env=self.environment | environment,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        deadline = time.monotonic() + PATIENCE
        while "Ray runtime started" not in (text := log.read_text()):
            if self.nodes[number].poll() is not None:
                return False
            assert time.monotonic() < deadline, text
            time.sleep(0.1)
        if number == 0:
            found = re.search(r"--address='([\d.:]+)'", text) or re.search(r"(127\.0\.0\.2:\d+)", text)
            assert found, text
            self.address = found[1]
        return True

    def kill(self, number: int) -> None:
        """End a node as a machine ends that loses its power."""
        node = self.nodes.pop(number)
        for process in [psutil.Process(node.pid), *psutil.Process(node.pid).children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        node.wait()

    def stop(self) -> None:
        for number in sorted(self.nodes, reverse=True):
            self.nodes[number].terminate()
        for process in self.nodes.values():
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.nodes.clear()
