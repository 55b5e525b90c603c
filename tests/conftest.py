"""What holds for every test: no example of hypothesis has a time it must be done in, on whatever machine."""

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
