"""A Slurm of two nodes on loopback, from Debian's packages: a controller and two daemons that this process started.

No systemd, no accounting, no cgroups. It needs root, as slurmd starts jobs for their owner.
"""

import os
import secrets
import shutil
import signal
import subprocess
import time
from pathlib import Path

from tests.cluster.ports import free_ports

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "srun")
CONFIGURATION = """\
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
SlurmdTimeout=30
InactiveLimit=0
KillWait=10
MinJobAge=300
NodeName=n1 NodeHostname=localhost NodeAddr=127.0.0.1 Port={first} CPUs=2 RealMemory=2000 State=UNKNOWN
NodeName=n2 NodeHostname=localhost NodeAddr=127.0.0.1 Port={second} CPUs=2 RealMemory=2000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
PATIENCE = 30


def why_not() -> str:
    """Why there can be no Slurm here, empty where there can."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)}: apt-get install --no-install-recommends slurmctld slurmd slurm-client munge"
    return "" if os.geteuid() == 0 else "slurmd needs root"


class SlurmNodes:
    """Nodes `n1` and `n2` of two CPUs each; commands find them with SLURM_CONF as in `environment`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.daemons: dict[str, subprocess.Popen] = {}
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf")}

    def start(self) -> None:
        for name in ("munge", "state", "spool"):
            (self.folder / name).mkdir(mode=0o700)
        key = self.folder / "munge" / "key"
        key.write_bytes(secrets.token_bytes(64))
        key.chmod(0o600)
        controller, first, second = free_ports(3)
        text = CONFIGURATION.format(folder=self.folder, controller=controller, first=first, second=second)
        (self.folder / "slurm.conf").write_text(text)
        files = {name: self.folder / "munge" / name for name in ("key-file", "pid-file", "log-file", "seed-file")}
        words = [f"--{name}={key if name == 'key-file' else file}" for name, file in files.items()]
        self._run("munged", "--foreground", "--force", f"--socket={self.folder}/munge.socket", *words)
        self._wait(lambda: (self.folder / "munge.socket").exists(), "munged")
        configuration = self.environment["SLURM_CONF"]
        self._run("slurmctld", "-D", "-f", configuration)
        for node in ("n1", "n2"):
            self.start_node(node)
        self._wait(lambda: self.ask("sinfo", "--noheader", "--format=%D %t").split() == ["2", "idle"], "sinfo")

    def start_node(self, node: str) -> None:
        self._run("slurmd", "-D", "-N", node, "-f", self.environment["SLURM_CONF"], name=node)

    def ask(self, *words: str) -> str:
        """What a command prints."""
        environment = os.environ | self.environment
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout + done.stderr

    def kill(self, node: str) -> None:
        """End a node with what runs on it, as a machine ends that loses its power."""
        daemon = self.daemons.pop(node)
        below = [int(pid) for pid in self._children(daemon.pid)]
        for pid in [daemon.pid, *below]:
            os.kill(pid, signal.SIGKILL)
        daemon.wait()

    def stop(self) -> None:
        if "slurmctld" in self.daemons:
            self.ask("scancel", "--full", "--user=root")
        for daemon in reversed(self.daemons.values()):
            daemon.terminate()
        for daemon in self.daemons.values():
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self.daemons.clear()

    def _run(self, *words: str, name: str = "") -> None:
        with (self.folder / f"{name or words[0]}.said").open("w") as said:
            environment = os.environ | self.environment
            self.daemons[name or words[0]] = subprocess.Popen(words, env=environment, stdout=said, stderr=said)

    def _wait(self, ready, what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not ready():
            said = "".join(file.read_text() for file in self.folder.glob("*.said"))
            assert time.monotonic() < deadline, f"{what} is not ready: {said[-2000:]}"
            time.sleep(0.1)

    @staticmethod
    def _children(pid: int) -> list[str]:
        listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
        parents = dict(line.split() for line in listed.splitlines())
        below = {str(pid)}
        while more := {child for child, parent in parents.items() if parent in below} - below:
            below |= more
        return sorted(below - {str(pid)})
