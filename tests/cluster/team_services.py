"""A team's Dagster on loopback: a Postgres of its own, code server and daemon, with the settings of packaging/docker.

The services run by the commands of the compose file, without its containers.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.cluster.ports import free_ports

DOCKER = Path(__file__).parents[2] / "packaging" / "docker"
BIN = Path(sys.executable).parent
PATIENCE = 1500.0


def postgres_programs() -> Path | None:
    """The folder of Postgres's programs; Debian keeps them off the PATH."""
    if found := shutil.which("postgres"):
        return Path(found).resolve().parent
    return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)


@contextmanager
def postgres(port: int) -> Iterator[None]:
    """A Postgres server whose user `squeeze` and database `dagster` need no password."""
    programs = postgres_programs()
    assert programs is not None
    folder = Path(tempfile.mkdtemp(prefix="squeeze-postgres-"))  # not below pytest's, which only this user may enter
    user: dict[str, Any] = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
    if user:  # root may not start it
        shutil.chown(folder, "postgres", "postgres")
    settings = [f"port={port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={folder}", "fsync=off"]
    try:
        initdb = [programs / "initdb", "-D", folder / "data", "-A", "trust", "-U", "squeeze", "--no-sync"]
        subprocess.run(initdb, cwd=folder, check=True, capture_output=True, timeout=PATIENCE, **user)
        options = [word for setting in settings for word in ("-c", setting)]
        with (folder / "log").open("w") as log:
            server = subprocess.Popen(
                [programs / "postgres", "-D", folder / "data", *options], cwd=folder, stdout=log, stderr=log, **user
            )
        try:
            create = [programs / "createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "squeeze", "dagster"]
            wait_for(lambda: subprocess.run(create, capture_output=True).returncode == 0, "a database")
            yield
        finally:
            server.send_signal(signal.SIGINT)  # its fast shutdown
            server.wait(60)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Team:
    """A project's folder with the services of a team beside it."""

    def __init__(self, project: Any) -> None:
        self.project = project
        self.home = project.folder / "home"
        self.workspace = self.home / "workspace.yaml"
        self.database, self.port = free_ports(2)

    @property
    def variables(self) -> dict[str, str]:
        """What the compose file gives its services."""
        postgres = {"POSTGRES_HOST": "127.0.0.1", "POSTGRES_PORT": str(self.database), "POSTGRES_DB": "dagster"}
        return postgres | {
            "POSTGRES_USER": "squeeze",
            "POSTGRES_PASSWORD": "any",
            "DAGSTER_HOME": str(self.home),
            "SQUEEZE_HOME": str(self.project.folder / ".squeeze"),
        }

    @contextmanager
    def running(self) -> Iterator["Team"]:
        """Everything started, and all of it ended."""
        self.home.mkdir()
        shutil.copy(DOCKER / "services" / "dagster.yaml", self.home)
        text = (DOCKER / "services" / "workspace.yaml").read_text()
        self.workspace.write_text(text.replace("host: code", "host: 127.0.0.1").replace("4000", str(self.port)))
        with ExitStack() as stack:
            stack.enter_context(postgres(self.database))
            stack.enter_context(self.service("code"))
            health = ["dagster", "api", "grpc-health-check", "--port", str(self.port)]
            wait_for(lambda: self.project.run(*health, check=False, **self.variables).returncode == 0, "a code server")
            self.project.run(*self.command("pool"), **self.variables)
            stack.enter_context(self.service("daemon"))
            yield self

    def command(self, name: str) -> list[str]:
        """What a service runs in the compose file, at the places that things have here."""
        words = YAML(typ="safe").load(DOCKER / "compose.yaml")["services"][name]["command"]
        here = {
            "0.0.0.0": "127.0.0.1",
            "4000": str(self.port),
            "/etc/squeeze": str(self.project.folder),
            "/etc/squeeze/services/workspace.yaml": str(self.workspace),
        }
        return [here.get(word, word) for word in words]

    @contextmanager
    def service(self, name: str) -> Iterator[None]:
        """A service at work, and its processes ended."""
        program, *rest = self.command(name)
        with (self.home / f"{name}.log").open("w") as log:
            process = subprocess.Popen(
                [str(BIN / program), *rest],
                cwd=self.project.folder,
                env=self.project.environment(**self.variables),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def wait_for(condition: Any, what: str) -> Any:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.5)
    raise AssertionError(f"no {what} within {PATIENCE:.0f} s")
