"""Services that show runs: each run is one there, with its whole configuration; none of them ends a run under way."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from in_process import StopAfter, go  # noqa: E402

from trainer.errors import ConfigError  # noqa: E402
from trainer.run.figures.trackers import TRACKERS  # noqa: E402


class Service:
    """What stands in for wandb and mlflow: it remembers what it is told."""

    def __init__(self) -> None:
        self.begun: list[dict[str, Any]] = []
        self.parameters: dict[str, str] = {}
        self.logged: list[tuple[int, dict[str, float]]] = []
        self.ended = 0
        self.broken = False

    # wandb
    def init(self, **settings: Any) -> Service:
        self.begun.append(settings)
        return self

    def log(self, figures: dict[str, float], step: int) -> None:
        if self.broken:
            raise ConnectionError("no route to host")
        self.logged.append((step, figures))

    def finish(self) -> None:
        self.ended += 1

    # mlflow
    def set_experiment(self, name: str) -> None:
        self.experiment = name

    def start_run(self, **settings: Any) -> Any:
        self.begun.append(settings)
        return SimpleNamespace(info=SimpleNamespace(run_id="theirs"))

    def log_params(self, values: dict[str, str]) -> None:
        assert len(values) <= 100
        self.parameters |= values

    def log_metrics(self, figures: dict[str, float], step: int) -> None:
        self.log(figures, step)

    end_run = finish


@pytest.fixture(params=["wandb", "mlflow"])
def named(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def service(named: str, monkeypatch: pytest.MonkeyPatch) -> Service:
    there = Service()
    monkeypatch.setitem(sys.modules, named, there)  # type: ignore[arg-type]
    return there


def test_runs_in_folders_of_one_name_are_two_runs(
    make_run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    service = Service()
    monkeypatch.setitem(sys.modules, "wandb", service)  # type: ignore[arg-type]
    for _ in range(2):
        path = make_run("out", max_steps=2, wandb=True)
        go(path)
        shutil.move(path.with_suffix(""), tmp_path / f"kept-{len(service.begun)}")
    one, two = service.begun
    assert one["id"] != two["id"]
    assert one["name"].startswith("out-")
    assert one["resume"] == "allow"


def test_a_resumed_run_goes_on_as_itself_and_one_begun_anew_is_another(
    make_run: Any, named: str, service: Service
) -> None:
    path = make_run("run", max_steps=6, **{named: True})
    go(path, StopAfter(3))
    go(path)
    first, second = service.begun
    if named == "wandb":
        assert first["id"] == second["id"]
    else:
        assert second == {"run_id": "theirs"}
    assert [step for step, _ in service.logged] == [1, 2, 3, 4, 5, 6]
    assert service.ended == 2
    shutil.rmtree(path.with_suffix("") / "checkpoints")
    (path.with_suffix("") / "summary.json").unlink()
    go(path)
    assert service.begun[2] != {"run_id": "theirs"}
    assert service.begun[2].get("id") is None or service.begun[2]["id"] != first["id"]


def test_the_whole_configuration_is_there_and_no_path(make_run: Any, named: str, service: Service) -> None:
    path = make_run("run", max_steps=1, validate=True, **{named: True})
    go(path)
    if named == "wandb":
        settings = service.begun[0]["config"]
        assert settings["model"]["width"] == 32
        assert settings["training"]["optimizer"]["learning_rate"] == 0.01
        assert settings["machine"]["device"] == "cpu"
        shards = settings["data"]["shards"]
    else:
        settings = service.parameters
        assert settings["model.width"] == "32"
        assert settings["training.optimizer.learning_rate"] == "0.01"
        assert settings["machine.torch"] == torch.__version__
        shards = settings["data.shards"]
    assert shards == json.loads((path.with_suffix("") / "summary.json").read_text())["shards"]
    assert str(path.parent) not in json.dumps(settings)


def test_a_service_that_fails_meanwhile_ends_nothing(
    make_run: Any, named: str, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    service.broken = True
    assert go(make_run("run", max_steps=3, **{named: True})).steps == 3
    assert caplog.text.count(f"{named} cannot show a step (no route to host); the run goes on without it") == 1


def test_a_service_that_cannot_begin_is_named(
    make_run: Any, named: str, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(**_: Any) -> Any:
        raise RuntimeError("api_key not configured")

    monkeypatch.setattr(service, "init", refused)
    monkeypatch.setattr(service, "start_run", refused)
    with pytest.raises(ConfigError, match=rf"training\.{named} is set.*cannot begin a run \(api_key not configured\)"):
        go(make_run("run", max_steps=3, **{named: True}))


@pytest.mark.parametrize("kind", TRACKERS, ids=lambda kind: kind.setting)
def test_a_package_that_is_missing_is_named_before_the_shards_are_read(
    make_run: Any, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, kind.package, raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    path = make_run("run", **{kind.setting: True})
    path.write_text(path.read_text().replace("epoch_001", "nowhere"))
    with pytest.raises(ConfigError, match=f"{kind.package} is not installed: pip install {kind.package}, or leave"):
        go(path)


def test_tensorboard_shows_the_configuration_too(make_run: Any) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    path = make_run("run", max_steps=2, tensorboard=True)
    go(path)
    accumulator = events.EventAccumulator(str(path.with_suffix("") / "tensorboard"))
    accumulator.Reload()
    (text,) = accumulator.Tensors("configuration/text_summary")
    assert '"width": 32' in text.tensor_proto.string_val[0].decode()


def test_a_run_that_no_service_shows_has_no_identity_of_its_own(make_run: Any) -> None:
    path = make_run("run", max_steps=1)
    go(path)
    assert not (path.with_suffix("") / "tracking.json").exists()
