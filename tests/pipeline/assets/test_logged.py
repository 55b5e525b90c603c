"""What the project logs during a build is the run's own, once, whichever dagster.yaml is in force."""

import dataclasses
import logging
import threading

import dagster as dg
import pytest

from pipeline.assets import logged as logged_module
from pipeline.assets.logged import LOGGERS, logged
from pipeline.assets.naming import Naming
from pipeline.assets.stored_asset import StoredAsset, StoreResource, asset_of


@dataclasses.dataclass(frozen=True)
class Nothing:
    content_hash: str = "nothing"


def asset_that(says):
    def make(build):
        says()
        return Nothing()

    words = {"key": "corpus/books", "group": "curation", "description": "Books.", "version": "1", "inputs": []}
    return asset_of(StoredAsset(**words, settings={}, summary=Nothing, make=make), Naming("sample"))


def lines_of_run(folder, says, settings=None):
    """What Dagster kept of a run, as (message, step)."""
    (folder / "dagster").mkdir()
    with dg.instance_for_test(temp_dir=str(folder / "dagster"), overrides=settings) as instance:
        result = dg.materialize(
            [asset_that(says)],
            resources={"store": StoreResource(root=str(folder / "store"), profile="tiny")},
            instance=instance,
        )
        records = instance.all_logs(result.run_id)
    return [(entry.user_message, entry.step_key) for entry in records if entry.dagster_event is None]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"python_logs": {"managed_python_loggers": ["pipeline", "trainer"], "python_log_level": "INFO"}},
        {"python_logs": {"managed_python_loggers": ["root"], "python_log_level": "INFO"}},
    ],
)
def test_a_line_of_any_module_is_one_line_of_the_run(tmp_path, settings):
    def says():
        logging.getLogger("pipeline.curation.documents").info("books: %d documents", 3)
        logging.getLogger("trainer.plan").warning("slow")
        thread = threading.Thread(target=logging.getLogger("pipeline.store").info, args=("from a thread",))
        thread.start()
        thread.join()

    lines = lines_of_run(tmp_path, says, settings)
    for message in ("books: 3 documents", "slow", "from a thread"):
        assert lines.count((message, "corpus__books")) == 1


def test_nothing_is_left_behind_after_a_build_or_a_failure():
    log = logging.getLogger("a context")
    before = [(logger.handlers[:], logger.level) for logger in map(logging.getLogger, LOGGERS)]
    with pytest.raises(ValueError, match="broken"), logged(log, "corpus/books"):
        raise ValueError("broken")
    assert [(logger.handlers, logger.level) for logger in map(logging.getLogger, LOGGERS)] == before
    assert log.handlers == []


def test_a_silent_step_says_that_it_is_still_at_work(monkeypatch, caplog):
    monkeypatch.setattr(logged_module, "SILENCE", 0.01)
    log = logging.getLogger("a context")
    said = threading.Event()

    class Heard(logging.Handler):
        def emit(self, record):
            assert record.getMessage().startswith("corpus/books: still at work after 0:0")
            said.set()

    log.setLevel(logging.INFO)
    log.addHandler(handler := Heard())
    with logged(log, "corpus/books"):
        assert said.wait(60)
    log.removeHandler(handler)
