"""`python -m trainer.launch <torchrun's arguments>`: torchrun that cannot be orphaned.

In: torchrun's own command line. The process sets up what must hold before torchrun runs and then becomes torchrun
(exec), so that whoever started it (Dagster's Pipes, a shell) holds torchrun's own process id: a signal reaches it
directly, and when the starter dies, even by SIGKILL, the kernel stops torchrun, which stops its ranks. Each rank asks
for the same against torchrun's death in `trainer.__main__`.

A port that is taken is refused here, naming the option, rather than by every rank after a minute; `--standalone` picks
a free one by itself.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from typing import NoReturn

from trainer.errors import ConfigError, TrainerError
from trainer.process.signals import PARENT_PID, die_with_parent

# torchrun's options without a value
_FLAGS = ("--standalone", "--no-python", "--run-path", "--virtual-local-rank", "--help", "-h")


def main(arguments: Sequence[str]) -> NoReturn:
    """Become torchrun, or exit with status 2 where its arguments cannot work."""
    die_with_parent()
    try:
        check_port(arguments)
    except TrainerError as error:
        print(f"trainer.launch: {error}", file=sys.stderr)
        sys.exit(2)
    environment = os.environ | {PARENT_PID: str(os.getpid())}
    environment.setdefault("OMP_NUM_THREADS", str(threads_per_rank(arguments)))
    os.execve(sys.executable, [sys.executable, "-m", "torch.distributed.run", *arguments], environment)


def threads_per_rank(arguments: Sequence[str]) -> int:
    """This machine's usable cores shared among its ranks, where their number is given; one, as torchrun has it, where
    torchrun works it out (`gpu`, `auto`)."""
    ranks = torchrun_options(arguments).get("--nproc-per-node", "1")
    if not (ranks.isdigit() and int(ranks) > 0 and hasattr(os, "sched_getaffinity")):
        return 1
    return max(1, len(os.sched_getaffinity(0)) // int(ranks))


def check_port(arguments: Sequence[str]) -> None:
    """Raise `ConfigError` where this machine would have to listen on a port that another process holds."""
    options = torchrun_options(arguments)
    if "--standalone" in options or options.get("--node-rank", "0") != "0":
        return
    name = "--rdzv-endpoint" if "--rdzv-endpoint" in options else "--master-port"
    host, _, port = options.get(name, "").rpartition(":")
    if not port.isdigit() or port == "0" or (host and not _is_local(host)):
        return
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", int(port)))
        except OSError as error:
            raise ConfigError(
                f"{name} {options[name]}: port {port} cannot be used here ({error.strerror}); "
                "give another port, or --standalone for a free one"
            ) from None


def torchrun_options(arguments: Sequence[str]) -> dict[str, str]:
    """The options before the program's own (`-m module` or a script), in the spelling with dashes."""
    options: dict[str, str] = {}
    rest = iter(arguments)
    for argument in rest:
        if argument in ("-m", "--module") or not argument.startswith("-"):
            break
        name, has_value, value = argument.partition("=")
        name = name.replace("_", "-")
        if not has_value and name not in _FLAGS:
            value = next(rest, "")
        options[name] = value
    return options


def _is_local(host: str) -> bool:
    return host in ("localhost", "127.0.0.1", "::1", "0.0.0.0", socket.gethostname())


if __name__ == "__main__":
    main(sys.argv[1:])
