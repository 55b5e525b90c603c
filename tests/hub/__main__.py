"""Serve a folder of data sets as a hub, until it is ended: `python -m tests.hub FOLDER [--bytes-per-second N]`.

Prints the environment that a program needs, a line a variable; with --log every request is written there as it ends.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from tests.hub.server import Hub


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bytes-per-second", type=float, help="of each connection to the content delivery network")
    parser.add_argument("--log", type=Path)
    arguments = parser.parse_args()
    with Hub(arguments.folder) as hub:
        hub.add_folder(arguments.folder)
        hub.state.bytes_per_second = arguments.bytes_per_second
        for name, value in hub.environment(Path("hub-home").absolute()).items():
            print(f"{name}={value}", flush=True)
        print("ready", flush=True)
        written = 0
        while True:
            time.sleep(0.2)
            if arguments.log is not None:
                new = hub.requests[written:]
                written += len(new)
                with arguments.log.open("a", encoding="utf-8") as log:
                    log.writelines(f"{request}\n" for request in new)


if __name__ == "__main__":
    main()
