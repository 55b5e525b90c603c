"""A `dagster dev` of a project, for as long as a test looks at it."""

import os
import signal
import socket
import subprocess
import time
import urllib.request
from contextlib import contextmanager

PATIENCE = 120.0
STARTING = 300.0  # a machine at work takes ten times as long as one with nothing else to do


@contextmanager
def dagster_dev(project, **environment):
    """(project, address) of a running `dagster dev`, ended with all it started."""
    port, started = free_port(), time.monotonic()
    log = (project.folder / "dev.log").open("w")
    run = subprocess.Popen(
        [str(project.programs / "dagster"), "dev", "-p", str(port)],
        cwd=project.folder,
        env=project.environment(**environment),
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        while True:
            try:
                urllib.request.urlopen(f"{address}/server_info", timeout=2).read()
                break
            except OSError:
                assert run.poll() is None, (project.folder / "dev.log").read_text()
                assert time.monotonic() - started < STARTING, (project.folder / "dev.log").read_text()
                time.sleep(0.1)
        yield project, address
    finally:
        os.killpg(run.pid, signal.SIGTERM)
        try:
            run.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(run.pid, signal.SIGKILL)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
