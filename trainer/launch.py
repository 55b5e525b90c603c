"""`python -m trainer.launch <torchrun's arguments>`: torchrun that cannot be orphaned.

In: torchrun's own command line, read by torchrun's own parser. The process sets up what must hold before torchrun runs
and then is torchrun, so that whoever started it (Dagster's Pipes, a shell) holds torchrun's own process id: a signal
reaches it directly, and when the starter dies, even by SIGKILL, the kernel stops torchrun, which stops its ranks. Each
rank asks for the same against torchrun's death in `trainer.__main__`.

It stops for the signals that a trainer stops for, hands them on to its ranks, and ends with what they say: 75 where
they stopped after a checkpoint, 2 for settings that cannot work. A SIGHUP that it was started to ignore (`nohup`) stays
ignored.

`--standalone` is one machine, and opens nothing to any other: torchrun and its ranks find one another through files of
a private folder, where torchrun's own way is a store that listens on every interface. Over several machines it listens
on the address alone that the others are given (`--master-addr`), and a port that is taken is refused here, naming the
option, rather than by every rank after a minute.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

from trainer.errors import ConfigError, TrainerError
from trainer.process.complaint import EXIT_ERROR, EXIT_SETTINGS, STATUS_FOLDER, error_file
from trainer.process.cores import core_count
from trainer.process.ranks import MEETING_FOLDER
from trainer.process.signals import EXIT_UNFINISHED, GRACE_SECONDS, PARENT_PID, die_with_parent, heeded_stops, killed_by

ANSWER_SECONDS: Final = 3.0
"""How long whoever holds the port of a rendezvous has to show that it is a store."""
KILL_SECONDS: Final = 5.0
"""Beyond a rank's own `GRACE_SECONDS`, after which it ends by itself."""


def main(arguments: Sequence[str]) -> None:
    """Be torchrun until its ranks have ended, or exit with status 2 where its arguments cannot work."""
    die_with_parent()
    from torch.distributed import run as torchrun  # takes seconds, in which the starter may die
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, record

    parser = torchrun.get_args_parser()
    options = parser.parse_args(list(arguments))
    if options.signals_to_handle == parser.get_default("signals_to_handle"):
        options.signals_to_handle = ",".join(number.name for number in heeded_stops())
    try:
        check_port(options)
    except TrainerError as error:
        print(f"trainer.launch: {error}", file=sys.stderr)
        sys.exit(2)
    os.environ[PARENT_PID] = str(os.getpid())
    os.environ.setdefault("OMP_NUM_THREADS", str(threads_per_rank(options.nproc_per_node)))
    config = config_of(options)
    if config is not None:
        error_file(config).unlink(missing_ok=True)  # before any rank says something
    with tempfile.TemporaryDirectory(prefix="squeeze-ranks-") as folder:
        said = Path(folder, "status")
        said.mkdir()
        os.environ[STATUS_FOLDER] = str(said)
        if options.standalone:
            meet_in(options, Path(folder, "meeting"))
        try:
            with listening(options):
                record(torchrun.run)(options)
        except (ChildFailedError, SignalException) as error:
            outlive_ranks()
            status = status_of_ranks(said)
            number = error.sigval if isinstance(error, SignalException) else None
            print(f"trainer.launch: {number.name if number else 'a rank'} ended the run", file=sys.stderr)
            sys.exit(status or (killed_by(number) if number else EXIT_ERROR))


def meet_in(options: argparse.Namespace, folder: Path) -> None:
    """Have torchrun and its ranks, all of this machine, find one another through files instead of a port.

    The ranks make a file of their own in the folder (`trainer.process.ranks`), as torchrun then hosts no store.
    """
    folder.mkdir()
    options.standalone = False
    options.rdzv_backend, options.rdzv_id = "c10d", "alone"
    options.rdzv_endpoint = str(folder / "agent")
    options.rdzv_conf = ",".join(filter(None, (options.rdzv_conf, "store_type=file")))
    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    os.environ[MEETING_FOLDER] = str(folder)


@contextlib.contextmanager
def listening(options: argparse.Namespace) -> Iterator[None]:
    """Host the store of a static rendezvous, where this machine is to, on the address that nodes are told and no other.

    torchrun's own, of the same process and port, joins the one that is there; alone it would listen on every interface,
    as it does where the address is not of this machine (one that is translated on the way).
    """
    from torch.distributed import TCPStore

    host, port, store = options.master_addr, options.master_port, None
    if options.rdzv_endpoint:
        host, _, port = options.rdzv_endpoint.rpartition(":")
    if options.rdzv_backend == "static" and not options.node_rank:
        with contextlib.suppress(OSError, ValueError):
            port = int(port)
            here = socket.create_server((host, port)).detach()
            store = TCPStore(
                host, port, is_master=True, wait_for_workers=False, multi_tenant=True, master_listen_fd=here
            )
    yield
    del store


def outlive_ranks() -> None:
    """Wait for every rank's end, whatever else is asked meanwhile; kill those that do not come to it.

    torchrun waits by itself, but leaves at once where a second signal comes.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException

    deadline = time.monotonic() + GRACE_SECONDS + KILL_SECONDS
    while True:
        with contextlib.suppress(SignalException):
            for number in heeded_stops():
                signal.signal(number, signal.SIG_IGN)
            break
    killed = False
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            if not killed and time.monotonic() > deadline:
                killed = True
                import psutil

                for child in psutil.Process().children():
                    child.kill()
            time.sleep(0.05)


def config_of(options: argparse.Namespace) -> Path | None:
    """The file of a run that torchrun's arguments start; none for another program."""
    words = options.training_script_args
    if options.training_script != "trainer" or "--config" not in words[:-1]:
        return None
    return Path(words[words.index("--config") + 1])


def status_of_ranks(folder: Path) -> int | None:
    """What the ranks' own statuses come to: a mistake in the settings before an error, an error before a stop after a
    checkpoint; none where they left none."""
    found = {int(file.read_text(encoding="ascii") or EXIT_ERROR) for file in folder.iterdir()}
    return next((status for status in (EXIT_SETTINGS, EXIT_ERROR, EXIT_UNFINISHED) if status in found), None)


def threads_per_rank(ranks: str) -> int:
    """This machine's usable cores shared among its ranks, where their number is given; one, as torchrun has it, where
    torchrun works it out (`gpu`, `auto`)."""
    if not (ranks.isdigit() and int(ranks) > 0):
        return 1
    return max(1, core_count() // int(ranks))


def check_port(options: argparse.Namespace) -> None:
    """Raise `ConfigError` where this machine would have to listen on a port that another program holds.

    With the c10d rendezvous the port may be held by the store of a first agent here, which this one joins.
    """
    if options.standalone or options.node_rank:
        return
    name, given = "--rdzv-endpoint", options.rdzv_endpoint
    if not given and options.rdzv_backend == "static":  # which alone listens there
        name, given = "--master-port", str(options.master_port or "")
    host, _, port = given.rpartition(":")
    if not port.isdigit() or port == "0" or (host and not _is_local(host)):
        return
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", int(port)))
        except OSError as error:
            if options.rdzv_backend == "c10d" and _is_store(host or "localhost", int(port)):
                return
            raise ConfigError(
                f"{name} {given}: port {port} cannot be used here ({error.strerror}); "
                "give another port, or --standalone on one machine, which needs none"
            ) from None


def _is_store(host: str, port: int) -> bool:
    """Whether the store of a rendezvous answers there.

    In a thread: a client of torch's waits for ever for whoever takes its connection and says nothing (torch 2.13).
    """
    from torch.distributed import DistError, TCPStore

    answered = threading.Event()

    def ask() -> None:
        with contextlib.suppress(DistError, RuntimeError):
            limit = timedelta(seconds=ANSWER_SECONDS)
            TCPStore(host, port, is_master=False, wait_for_workers=False, timeout=limit)
            answered.set()

    threading.Thread(target=ask, daemon=True).start()
    return answered.wait(ANSWER_SECONDS)


def _is_local(host: str) -> bool:
    return host in ("localhost", "127.0.0.1", "::1", "0.0.0.0", socket.gethostname())


if __name__ == "__main__":
    main(sys.argv[1:])
