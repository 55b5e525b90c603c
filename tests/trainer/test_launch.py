"""The launcher reads torchrun's own options, shares the cores, and is torchrun."""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trainer.errors import ConfigError
from trainer.launch import check_port, listening, threads_per_rank

ROOT = Path(__file__).parents[2]


def read(words: list[str]) -> argparse.Namespace:
    """torchrun's options of a command line."""
    from torch.distributed.run import get_args_parser

    return get_args_parser().parse_args([*words, "-m", "trainer"])


def test_ranks_share_the_cores() -> None:
    cores = len(os.sched_getaffinity(0))
    assert threads_per_rank("1") == cores
    assert threads_per_rank(str(4 * cores)) == 1
    assert threads_per_rank("gpu") == 1


@pytest.mark.parametrize("words", [["--master_port={}"], ["--rdzv-endpoint", "localhost:{}"], ["--rdzv-endpoint=:{}"]])
def test_a_port_in_use_is_named_with_its_option(words: list[str]) -> None:
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        filled = [word.format(port) for word in words]
        name = filled[0].split("=")[0].replace("_", "-")
        with pytest.raises(ConfigError, match=rf"{name} .*port {port} cannot be used"):
            check_port(read(filled))
        check_port(read(["--standalone", *filled]))
        check_port(read(["--node-rank=1", *filled]))
        check_port(read(["--rdzv-endpoint=other.example:" + str(port)]))
        check_port(read(["--rdzv-backend=c10d", f"--master-port={port}"]))
    check_port(read(filled))


def test_a_second_agent_on_the_machine_of_the_rendezvous_is_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.distributed import TCPStore

    store = TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
    check_port(read(["--rdzv-backend=c10d", f"--rdzv-endpoint=localhost:{store.port}"]))
    with pytest.raises(ConfigError, match="cannot be used here"):
        check_port(read([f"--master-port={store.port}"]))
    monkeypatch.setattr("trainer.launch.ANSWER_SECONDS", 0.2)
    with socket.create_server(("", 0)) as taken, pytest.raises(ConfigError, match="cannot be used here"):
        check_port(read(["--rdzv-backend=c10d", f"--rdzv-endpoint=localhost:{taken.getsockname()[1]}"]))


@pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 is loopback's on Linux alone")
def test_the_store_of_several_nodes_listens_on_the_address_they_are_given_and_no_other() -> None:
    from torch.distributed.elastic.rendezvous.static_tcp_rendezvous import StaticTCPRendezvous

    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    given = ["--nnodes=2", "--master-addr=127.0.0.1", f"--master-port={port}"]
    with listening(read(["--node-rank=1", *given])), pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 5)
    with listening(read(["--node-rank=0", *given])):
        store = StaticTCPRendezvous("127.0.0.1", port, 0, 1, "run", 20).next_rendezvous().store
        store.set("word", "said")
        assert store.get("word") == b"said"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), 5)


def test_an_address_that_is_not_of_this_machine_is_left_to_torchrun() -> None:
    with listening(read(["--nnodes=2", "--node-rank=0", "--master-addr=192.0.2.1", "--master-port=29500"])):
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
@pytest.mark.parametrize("action", ["SIG_DFL", "SIG_IGN"])
def test_a_process_ends_with_its_parent_even_by_sigkill(action: str) -> None:
    child = (
        "import time; from trainer.process.signals import die_with_parent; die_with_parent(); "
        "print('ready', flush=True); time.sleep(60)"
    )
    parent = (
        "import signal, subprocess, sys, time\n"
        f"signal.signal(signal.SIGTERM, signal.{action})\n"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}], stdout=subprocess.PIPE)\n"
        "child.stdout.readline(); print(child.pid, flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", parent], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while (stat := Path(f"/proc/{pid}/stat")).exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.05)
