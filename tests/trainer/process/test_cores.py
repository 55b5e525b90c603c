"""Cores are those the process is bound to, or the time that its container gets where that is less.

The files of control groups are replaced by a folder of the test's own; the machine is one of 64 cores.
"""

import os

import pytest

from trainer.process import cgroup
from trainer.process.cores import core_count


@pytest.fixture
def groups(monkeypatch, tmp_path):
    """Control groups as a kernel shows them: the groups of this process, and files with what they say."""
    monkeypatch.setattr(cgroup, "CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr(cgroup, "GROUPS_OF_THIS", tmp_path / "own")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)

    def write(own="", **files):
        if own:
            (tmp_path / "own").write_text(own)
        for name, text in files.items():
            file = tmp_path / "cgroup" / name.replace("__", "/").replace("_dot_", ".")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text + "\n")

    return write


def test_without_control_groups_all_that_the_process_is_bound_to_counts(groups, monkeypatch):
    assert core_count() == 64
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5}, raising=False)
    assert core_count() == 2


def test_where_nothing_binds_a_process_the_machines_cores_count(groups, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 10)
    assert core_count() == 10


@pytest.mark.parametrize(
    ("said", "cores"),
    [("200000 100000", 2), ("150000 100000", 2), ("50000 100000", 1), ("max 100000", 64), ("9900000 100000", 64)],
)
def test_a_container_of_version_2_gets_the_time_of_so_many(groups, said, cores):
    groups("0::/\n", cpu_dot_max=said)
    assert core_count() == cores


@pytest.mark.parametrize(("quota", "cores"), [("200000", 2), ("-1", 64), ("0", 64)])
def test_a_container_of_version_1_gets_the_time_of_so_many(groups, quota, cores):
    files = {"cpu__cpu_dot_cfs_quota_us": quota, "cpu__cpu_dot_cfs_period_us": "100000"}
    groups("3:cpu,cpuacct:/\n0::/\n", **files)
    assert core_count() == cores


def test_every_group_around_the_process_limits_it(groups):
    own = "0::/slurm/job_7/step\n"
    groups(own, slurm__cpu_dot_max="max 100000", slurm__job_7__cpu_dot_max="400000 100000")
    groups(slurm__job_7__step__cpu_dot_max="800000 100000", other__cpu_dot_max="100000 100000")
    assert core_count() == 4


def test_a_group_of_the_host_that_is_not_seen_inside_leaves_the_root(groups):
    groups("2:cpu,cpuacct:/docker/4f3a\n", cpu__cpu_dot_cfs_quota_us="300000", cpu__cpu_dot_cfs_period_us="100000")
    assert core_count() == 3


@pytest.mark.parametrize("said", ["", "nonsense", "200000", "200000 0", "a b"])
def test_what_no_kernel_writes_limits_nothing(groups, said):
    groups("no line of a kernel\n", cpu_dot_max=said)
    assert core_count() == 64
