"""`squeeze chat`: a text that a person and a base model write in turns, in the terminal.

What is typed is added to the text, and the model goes on with it; nothing is a question and nothing an answer. The
whole text stays the model's prompt until `/new`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, TextIO

from pipeline.cli.writing.model import BASE_MODEL
from trainer.sampling import Sampling

if TYPE_CHECKING:
    from pipeline.cli.writing.model import Writer

NEW: Final = "/new"
END: Final = "/quit"
HELP: Final = f"Enter alone lets it go on, {NEW} starts another text, Ctrl-C stops it, Ctrl-D or {END} ends."


def chat(writer: Writer, sampling: Sampling, facts: Mapping[str, str], read: Callable[[str], str], out: TextIO) -> None:
    """Take turns until the input ends. `read` asks for a line and raises EOFError at the end."""
    out.write(f"{', '.join(f'{name} {value}' for name, value in facts.items())}\n{BASE_MODEL}. {HELP}\n")
    text, turn = "", 0
    while (line := _line(read, out)) is not None and line.strip() != END:
        if line.strip() == NEW:
            text = ""
            continue
        if line:
            gap = "\n" if text and not text[-1].isspace() else ""
            text += gap + line
        # the same seed would say the same again where somebody asks for another ending
        text += _written(writer, text, dataclasses.replace(sampling, seed=sampling.seed + turn), out)
        turn += 1


def _line(read: Callable[[str], str], out: TextIO) -> str | None:
    """A line of the person's, or None where they are done."""
    try:
        return read("> ")
    except (EOFError, KeyboardInterrupt):
        out.write("\n")
        return None


def _written(writer: Writer, text: str, sampling: Sampling, out: TextIO) -> str:
    """What the model adds, shown as it comes; as much as there is where Ctrl-C stops it."""
    added = ""
    try:
        for piece in writer.continued(text, sampling):
            added += piece
            out.write(piece)
            out.flush()
    except KeyboardInterrupt:
        pass
    out.write("\n")
    return added
