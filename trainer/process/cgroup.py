"""What control groups (containers, Slurm, systemd) limit this process to; nothing where there are none, or no Linux.

In: the name of a limit's file in version 2 and in version 1 of control groups. Out: what the files of that name say, of
this process's own group and of every group around it, since each of them limits what is inside. A container usually
sees its own group as the root; where it does not, the root of what it sees is read as well.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Final

CGROUP: Final = Path("/sys/fs/cgroup")
GROUPS_OF_THIS: Final = Path("/proc/self/cgroup")


def limits(unified: str, controller: str, *older: str) -> list[list[str]]:
    """The words of the limit's files, innermost group first.

    unified: the file in version 2. controller, older: a controller of version 1 and its files, whose words are put
    together.
    """
    groups = _groups()
    found = [_words(folder, (unified,)) for folder in _folders(CGROUP, groups.get("", "/"))]
    found += [_words(folder, older) for folder in _folders(CGROUP / controller, groups.get(controller, "/"))]
    return [words for words in found if words]


def _groups() -> dict[str, str]:
    """This process's group by controller of version 1; that of version 2 under the empty name."""
    try:
        lines = GROUPS_OF_THIS.read_text().splitlines()
    except OSError:
        return {}
    groups: dict[str, str] = {}
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        groups |= dict.fromkeys(controllers.split(","), group)
    return groups


def _folders(root: Path, group: str) -> list[Path]:
    inside = PurePosixPath(group.strip("/"))
    return list(dict.fromkeys(root / part for part in (inside, *inside.parents) if ".." not in part.parts))


def _words(folder: Path, files: tuple[str, ...]) -> list[str]:
    try:
        return [word for file in files for word in (folder / file).read_text().split()]
    except OSError:
        return []
