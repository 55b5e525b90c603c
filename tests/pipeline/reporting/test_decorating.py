"""What only decorates an artifact costs a line of warning, and nothing else."""

import logging

from pipeline.reporting.decorating import decorating


def test_what_cannot_be_drawn_is_one_line_of_warning_with_its_traceback_in_debug(caplog):
    with caplog.at_level("DEBUG"), decorating(logging.getLogger("drawn"), "no picture of books") as failed:
        raise KeyError("books")
    assert failed == ["KeyError: 'books'"]
    warning, debug = caplog.records
    assert (warning.levelname, warning.getMessage()) == ("WARNING", "no picture of books: KeyError: 'books'")
    assert debug.levelname == "DEBUG"
    assert "Traceback" in debug.getMessage()


def test_what_can_be_drawn_says_nothing(caplog):
    with caplog.at_level("DEBUG"), decorating(logging.getLogger("drawn"), "no picture of books") as failed:
        pass
    assert not failed
    assert not caplog.records
