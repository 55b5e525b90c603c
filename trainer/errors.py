"""The trainer's own exceptions. Each message names the file or setting, what was found and what to do.

They stand apart from `pipeline.base.errors` because the trainer runs without the pipeline and never imports it.
"""


class TrainerError(Exception):
    """Something the user can put right; shown without a traceback."""


class ConfigError(TrainerError, ValueError):
    """A setting that is unknown or not allowed. Also a ValueError, so that pydantic reports it with its place."""


class DataError(TrainerError):
    """Shards or tokens that are missing, damaged, or of another tokenizer or manifest."""


class CheckpointError(TrainerError):
    """A checkpoint that is missing, damaged, or of another architecture or run."""


class ExportError(TrainerError):
    """A model that no stock `transformers` class can hold; the message names the switch."""
