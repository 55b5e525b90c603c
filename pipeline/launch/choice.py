"""Which launcher the settings ask for."""

from __future__ import annotations

from pipeline.launch.launcher import Launcher
from pipeline.launch.local import LocalLauncher
from pipeline.launch.settings import LaunchSettings
from pipeline.launch.supervised import SupervisedLauncher


def launcher_of(settings: LaunchSettings | None) -> Launcher:
    """What starts a program that trains; none for one process of this machine, whatever the settings say."""
    return LocalLauncher() if settings is None or settings.is_plain else SupervisedLauncher(settings)
