"""Project Gutenberg's files give the books and nothing else, whatever their markers look like."""

from __future__ import annotations

import pytest

from pipeline.curation.text.gutenberg import strip_gutenberg

HEADER = "The Project Gutenberg eBook of The Well, by A. Writer\n\nThis eBook is for the use of anyone anywhere.\n\n"
BOOK = "I. THE WELL\n\nNobody in the village could say who had dug it."
SECOND = "II. THE ROPE\n\nIt was the smith who brought the new rope."
LICENCE = "\n\nUpdated editions will replace the previous one.\n\nSECTION 1. GENERAL TERMS OF USE\n"
SMALL_PRINT = (
    "***START**THE SMALL PRINT!**FOR PUBLIC DOMAIN ETEXTS**START***\nWhy is this statement here? You know: lawyers.\n\n"
    "*BEFORE!* YOU USE OR READ THIS ETEXT\n\n*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*\n\n"
)
START = "*** START OF THE PROJECT GUTENBERG EBOOK THE WELL ***\n\n"
END = "\n\n*** END OF THE PROJECT GUTENBERG EBOOK THE WELL ***"


@pytest.mark.parametrize(
    "text",
    [
        HEADER + START + BOOK + END + LICENCE,
        HEADER + "***START OF THE PROJECT GUTENBERG EBOOK THE WELL***\n\n" + BOOK + END + LICENCE,
        HEADER + START.replace("THE WELL", "THE WELL: BEING\nTHE HISTORY OF A VILLAGE\nIN THREE PARTS") + BOOK + END,
        HEADER + START.replace("THE PROJECT", "THIS PROJECT").replace(" ***\n", "\n") + BOOK + END,
        HEADER + START + BOOK + END.replace("THE WELL", "THE WELL: BEING\nTHE HISTORY OF A VILLAGE") + LICENCE,
        HEADER + START + BOOK + "\n\n\nEnd of Project Gutenberg's The Well, by A. Writer" + END + LICENCE,
        HEADER + START + BOOK + "\n\nEnd of the Project Gutenberg EBook of The Well, by\nA. Writer" + END + LICENCE,
        "**The Project Gutenberg Etext of The Well**\n#3 in our series\n\n" + SMALL_PRINT + BOOK,
        "**The Project Gutenberg Etext of The Well**\n\n"
        + SMALL_PRINT
        + BOOK
        + "\n\nEnd of The Project Gutenberg Etext\n",
        HEADER + START + BOOK + END + "\n\n**The Legal Small Print**\n\n" + SMALL_PRINT,
        BOOK + "\n\nEnd of this Project Gutenberg Etext of The Well",
        HEADER + START + "Produced by A. Volunteer and the Online\nProofreading Team\n\n" + BOOK + END,
        HEADER
        + START
        + "This etext was scanned and proofed by A. Volunteer.\n\n[Transcriber's Note: as printed.]\n\n"
        + BOOK
        + END,
        HEADER + START + BOOK + "\n\n\nTranscriber's Notes:\n\nPage 3: 'rpoe' to 'rope'.\n\nPage 9: a dash.\n" + END,
        HEADER + START + BOOK.replace("\n\n", "\n\n[Transcriber's note: a plate\nis missing here.]\n\n") + END,
    ],
)
def test_the_book_alone_is_left(text: str) -> None:
    assert strip_gutenberg(text) == BOOK


@pytest.mark.parametrize(
    "text",
    [
        HEADER + START + BOOK + END + LICENCE + HEADER + START + SECOND + END + LICENCE,
        HEADER + START + BOOK + END + LICENCE + "\n" + SMALL_PRINT + SECOND + "\n\nEnd of Project Gutenberg Etext",
        HEADER + START + BOOK + "\n\n" + HEADER + START + SECOND + END,  # the first one's end is missing
        HEADER + START + BOOK + "\n\n" + START + SECOND,
    ],
)
def test_all_books_of_a_file_are_kept(text: str) -> None:
    assert strip_gutenberg(text) == f"{BOOK}\n\n{SECOND}"


def test_text_without_markers_stays() -> None:
    for text in ("no markers here", "Produced by a mill, flour is white.", f"{HEADER}{BOOK}", "*** \n\n***"):
        assert strip_gutenberg(text) == text


def test_a_book_that_is_one_paragraph_of_credits_is_not_lost() -> None:
    assert (
        strip_gutenberg(START + "Produced by the river, sand is fine." + END) == "Produced by the river, sand is fine."
    )
