"""The `study: race:` section of a profile: which track an entry of the laptop race enters, and where the limits are.

The built-in profile `race` gives the limits; an entry extends it, names its track and adds its arm. The rules are on
the page docs/race.md.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from pipeline.base.settings import Settings

Track = Literal["time", "bytes", "text"]
TRACKS: Final[tuple[Track, ...]] = ("time", "bytes", "text")
OF_THE_ENTRY: Final = ("track", "entry", "bits", "group", "method")
"""What an entry may set; everything else of the section is the race's."""


class RaceSettings(Settings):
    """A race between the study's baseline, which is the standard recipe, and one other arm."""

    track: Track | None = None
    """`time`: no more CPU seconds than the standard recipe takes beside it. `bytes`: no more than `most_bytes` on disk,
    tokenizer included. `text`: no more than `most_text` bytes of text, any number of times. None: it is no entry."""
    entry: str = "entry"
    """The arm that races."""
    most_bytes: int = Field(64_000, gt=0)
    """Of the file that `squeeze export --bits` would write, tokenizer included."""
    most_text: int = Field(1_000_000, gt=0)
    """UTF-8 bytes of the documents trained on, each counted once however often it is read."""
    least_seeds: int = Field(3, ge=1)
    """Of an entry."""
    heldout_hash: str | None = None
    """The content hash of the held-out sample: text itself, whatever makes it."""
    bits: Annotated[int, Field(ge=2, le=8)] | Literal[16, 32] = 4
    """On the track `bytes`, of a weight in the file, as `squeeze export --bits`."""
    group: int | None = Field(None, ge=8)
    """As `squeeze export --group`."""
    method: Literal["gptq", "nearest"] = "gptq"
    """As `squeeze export --method`."""

    @model_validator(mode="after")
    def _bits_are_of_a_file(self) -> RaceSettings:
        if self.track in ("time", "text") and {"bits", "group", "method"} & self.model_fields_set:
            raise ValueError("bits, group and method are of the file on the track `bytes`: leave them out")
        return self
