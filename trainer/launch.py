"""`python -m trainer.launch <torchrun's arguments>`: torchrun that cannot be orphaned.

In: torchrun's own command line, read by torchrun's own parser. The process sets up what must hold before torchrun runs
and then is torchrun, so that whoever started it (Dagster's Pipes, a shell) holds torchrun's own process id: a signal
reaches it directly, and when the starter dies, even by SIGKILL, the kernel stops torchrun, which stops its ranks. Each
rank asks for the same against torchrun's death in `trainer.__main__`.

It stops for the signals that a trainer stops for, hands them on to its ranks, and ends with what they say: 75 where
they stopped after a checkpoint, 2 for settings that cannot work. A SIGHUP that it was started to ignore (`nohup`) stays
ignored.

A port that is taken is refused here, naming the option, rather than by every rank after a minute; `--standalone` picks
a free one by itself.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from trainer.errors import ConfigError, TrainerError
from trainer.process.complaint import EXIT_ERROR, EXIT_SETTINGS, STATUS_FOLDER, error_file
from trainer.process.cores import core_count
from trainer.process.signals import EXIT_UNFINISHED, PARENT_PID, die_with_parent, heeded_stops, killed_by


def main(arguments: Sequence[str]) -> None:
    """Be torchrun until its ranks have ended, or exit with status 2 where its arguments cannot work."""
    die_with_parent()
    from torch.distributed import run as torchrun  # takes seconds, in which the starter may die
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    parser = torchrun.get_args_parser()
    options = parser.parse_args(list(arguments))
    try:
        check_port(options)
    except TrainerError as error:
        print(f"trainer.launch: {error}", file=sys.stderr)
        sys.exit(2)
    os.environ[PARENT_PID] = str(os.getpid())
    os.environ.setdefault("OMP_NUM_THREADS", str(threads_per_rank(options.nproc_per_node)))
    given = list(arguments)
    if options.signals_to_handle == parser.get_default("signals_to_handle"):
        given = ["--signals-to-handle=" + ",".join(number.name for number in heeded_stops()), *given]
    config = config_of(options)
    if config is not None:
        error_file(config).unlink(missing_ok=True)  # before any rank says something
    with tempfile.TemporaryDirectory(prefix="squeeze-ranks-") as folder:
        os.environ[STATUS_FOLDER] = folder
        try:
            torchrun.main(given)
        except (ChildFailedError, SignalException) as error:
            status = status_of_ranks(Path(folder))
            number = error.sigval if isinstance(error, SignalException) else None
            print(f"trainer.launch: {number.name if number else 'a rank'} ended the run", file=sys.stderr)
            sys.exit(status or (killed_by(number) if number else EXIT_ERROR))


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
    """Raise `ConfigError` where this machine would have to listen on a port that another process holds."""
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
            raise ConfigError(
                f"{name} {given}: port {port} cannot be used here ({error.strerror}); "
                "give another port, or --standalone for a free one"
            ) from None


def _is_local(host: str) -> bool:
    return host in ("localhost", "127.0.0.1", "::1", "0.0.0.0", socket.gethostname())


if __name__ == "__main__":
    main(sys.argv[1:])
