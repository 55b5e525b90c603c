"""The project's own exceptions. Each message names the file or setting, what was found and what to do."""

from pipeline.base.redaction import redact


class SqueezeError(Exception):
    """Something the user can put right; shown without a traceback, and without the credentials of addresses."""

    def __init__(self, *said: object) -> None:
        super().__init__(*(redact(item) if isinstance(item, str) else item for item in said))


class ProfileError(SqueezeError):
    """A profile that cannot be used: unknown name or key, or a value that is not allowed."""


class StoreError(SqueezeError):
    """An artifact that is missing, damaged, or written by a newer version."""


class DamagedError(StoreError):
    """A manifest that is not as it was written."""


class BucketError(StoreError):
    """A bucket that is not there, or does not let this machine do what it must."""


class BucketUnreachableError(BucketError):
    """A bucket that does not answer, or not now."""


class NotReproducedError(StoreError):
    """Two builds of one fingerprint whose contents differ, which no machine, library or number of workers may cause."""


class DiskFullError(StoreError):
    """No room for what a build writes. Its finished parts are kept."""


class NoMemoryError(SqueezeError):
    """No memory for what a build does. Its finished parts are kept."""


class SourceError(SqueezeError):
    """A source of documents that cannot be fetched or read."""


class UnreachableError(SourceError):
    """A source that cannot be reached from here, or not now: nothing is wrong with what it holds."""


class WorkerError(SqueezeError):
    """A worker process that was killed from outside."""


class EngineError(SqueezeError):
    """An engine, such as Ray or Slurm, that cannot be reached, has no room for a part, or runs other code."""


class CurationError(SqueezeError):
    """Curation that cannot go on, such as a corpus with no documents left."""


class TokenizerError(SqueezeError):
    """A tokenizer specification, vocabulary or text that does not fit."""


class ShardError(SqueezeError):
    """A schedule that cannot be met, or shards that are damaged or of another tokenizer."""


class EvaluationError(SqueezeError):
    """An evaluation that cannot be run as asked."""


class NotPossibleError(EvaluationError):
    """A suite that cannot be had here, though nothing is wrong with the model: what was asked for is not there.

    `passing` where it may be there at another time without any setting, text or model changing, such as the hub.
    """

    def __init__(self, why: str, *, passing: bool = False) -> None:
        super().__init__(why)
        self.passing = passing


class StudyError(SqueezeError):
    """A study whose arms cannot run as asked, or results that do not fit together."""


class LaunchError(SqueezeError):
    """Ranks that this machine or the batch has no work for."""
