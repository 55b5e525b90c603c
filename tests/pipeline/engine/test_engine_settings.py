"""The section `engine` and the variable that takes its place: what is read, what is refused, and that nothing moves."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.base.errors import EngineError, ProfileError
from pipeline.base.executor import Processes
from pipeline.base.settings import identity_of
from pipeline.engine.executors import executor_of
from pipeline.engine.settings import ProcessesEngine, RayEngine, SlurmEngine
from pipeline.engine.slurm_array import SlurmArray
from pipeline.profile.profile import Profile, load_profile


def written(folder: Path, section: str) -> str:
    (folder / "mine.yaml").write_text(f"extends: sample\n{section}\n")
    return str(folder / "mine.yaml")


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("", ProcessesEngine()),
        ("engine: ray", RayEngine()),
        ("engine: {kind: ray, address: auto, cpus: 2}", RayEngine(address="auto", cpus=2)),
        (
            "engine: {kind: slurm, slots: 64, options: [--partition=cpu]}",
            SlurmEngine(slots=64, options=("--partition=cpu",)),
        ),
    ],
)
def test_an_engine_is_a_word_or_a_word_with_settings(tmp_path: Path, section: str, expected: object) -> None:
    assert load_profile(written(tmp_path, section)).engine == expected


@pytest.mark.parametrize(
    ("engine", "told"),
    [
        ("spark", "line 2: engine: kind must be one of 'processes', 'ray', 'slurm', found 'spark'"),
        ("{address: auto}", "line 2: engine: must say its `kind`: processes, ray, slurm"),
        ("{kind: ray, adress: auto}", "line 2: engine.adress: unknown key; did you mean 'address'?"),
        ("{kind: ray, cpus: 0}", "line 2: engine.cpus: must be above 0, found 0"),
        ("{kind: slurm, slots: 0}", "line 2: engine.slots: must be above 0, found 0"),
        ("{kind: slurm, options: [gpu]}", "engine.options: 'gpu' is no option of sbatch: write it as `--name=value`"),
        ("{kind: slurm, options: [--array=1-9]}", "'--array=1-9' is given by the engine itself: leave it out"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, engine: str, told: str) -> None:
    with pytest.raises(ProfileError) as error:
        load_profile(written(tmp_path, f"engine: {engine}"))
    assert told in str(error.value)


def test_the_environment_takes_the_place_of_the_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUEEZE_ENGINE", '{kind: ray, address: "10.0.0.1:6379"}')
    assert load_profile(written(tmp_path, "engine: {kind: slurm, slots: 3}")).engine == RayEngine(
        address="10.0.0.1:6379"
    )
    monkeypatch.setenv("SQUEEZE_ENGINE", "processes")
    assert load_profile(written(tmp_path, "engine: ray")).engine == ProcessesEngine()
    monkeypatch.setenv("SQUEEZE_ENGINE", " ")
    assert load_profile(written(tmp_path, "engine: ray")).engine == RayEngine()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("dask", "SQUEEZE_ENGINE: engine: kind must be one of 'processes', 'ray', 'slurm', found 'dask'"),
        ("{kind: ray, slot: 3}", "SQUEEZE_ENGINE: engine.slot: unknown key; did you mean 'slots'?"),
        ("{kind: ray", "SQUEEZE_ENGINE='{kind: ray' is not valid YAML"),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(monkeypatch: pytest.MonkeyPatch, text: str, told: str) -> None:
    monkeypatch.setenv("SQUEEZE_ENGINE", text)
    with pytest.raises(ProfileError) as error:
        load_profile("sample")
    assert told in str(error.value)


def test_an_engine_enters_no_fingerprint() -> None:
    assert "engine" not in identity_of(load_profile("sample"))
    assert Profile.model_fields["engine"].default == ProcessesEngine()


def test_where_nothing_is_set_parts_are_worked_on_by_processes(tmp_path: Path) -> None:
    executor = executor_of(ProcessesEngine(), 3, tmp_path, setting="workers")
    assert isinstance(executor, Processes)
    assert (executor.slots, executor.machines) == (3, 1)


def test_small_work_reaches_no_engine(tmp_path: Path) -> None:
    for engine in (RayEngine(address="192.0.2.1:1"), SlurmEngine()):
        with executor_of(engine, 0, tmp_path, setting="workers") as executor:
            table = executor.share([1, 2])
            assert list(executor.map(len, [(table.value,)])) == [2]
            assert list(executor.map(abs, [(-1,), (-2,)], worth=False)) == [1, 2]
    assert not list(tmp_path.iterdir())


def test_slurm_without_its_commands_says_where_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with (
        SlurmArray(SlurmEngine(), tmp_path / "out") as executor,
        pytest.raises(EngineError, match=r"engine: slurm needs the command sbatch: run on a login node"),
    ):
        list(executor.map(abs, [(-1,), (-2,)]))
    assert not list((tmp_path / "out").iterdir())
