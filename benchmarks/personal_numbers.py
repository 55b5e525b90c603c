"""How fast personal numbers are looked for: megabytes of text a second of processor time, in one process of one thread.

    python benchmarks/personal_numbers.py ../shared/data/fineweb_edu.jsonl.gz --phones DE FR [--megabytes 8]

A line for bank accounts and payment cards, one for each country's phone numbers alone, and one for everything together.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.curation import read, speed
from pipeline.curation.text.personal_numbers import mask_numbers
from pipeline.curation.text.settings import PersonalNumbers


def main() -> None:
    """Print the speeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="JSON lines (.gz) with a field `text`")
    parser.add_argument("--phones", nargs="+", default=["DE", "FR"], metavar="COUNTRY")
    parser.add_argument("--megabytes", type=float, default=8.0)
    options = parser.parse_args()
    texts = read(options.data, options.megabytes)
    countries = tuple(options.phones)
    looked_for = {"accounts and cards": PersonalNumbers()}
    looked_for |= {
        f"phones of {country}": PersonalNumbers(phones=(country,), bank_accounts=False, payment_cards=False)
        for country in countries
    }
    looked_for["all together"] = PersonalNumbers(phones=countries)
    for name, settings in looked_for.items():
        mask_numbers(texts[0], settings)  # what a process reads once
        speed(name, texts, lambda settings=settings: [mask_numbers(text, settings) for text in texts])


if __name__ == "__main__":
    main()
