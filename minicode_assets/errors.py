"""The exception tree. Every message says what, where, found and expected, and ends with what to type next.

MinicodeError                  minicode_model.errors
├── ConfigError                unknown keys, wrong types, contradictions: all in one message
├── ArtifactError
│   ├── MissingArtifactError   never completed
│   ├── CorruptArtifactError   bytes differ from the manifest
│   └── StorageError           no permission, no space, not a folder
├── ArchiveError               nothing to archive, a repository git can't read
├── TableError                 a Software Heritage table lacks a column, is truncated, repeats an id
├── ManifestError              a walk that can't be finished
├── BlobError                  bytes that do not match their id
├── MalwareError               a scanner that is on is absent, answers nonsense, or has wrong rules
├── RewriteError               ruff is absent, an endpoint refuses or does not answer
├── SourceError                a server, file or record of another source that can't be used
├── CorpusError                nothing left after selection, sidecar rows out of step
├── TokenizerError, ShardError, CheckpointError, DivergenceError    minicode_model.errors
└── DriverError                another run holds the data folder, an unknown asset
"""

from minicode_model.errors import (
    ArtifactError,
    CheckpointError,
    ConfigError,
    CorruptArtifactError,
    DivergenceError,
    MinicodeError,
    MissingArtifactError,
    ShardError,
    StorageError,
    TokenizerError,
)

__all__ = [
    "ArchiveError",
    "ArtifactError",
    "BlobError",
    "CheckpointError",
    "ConfigError",
    "CorpusError",
    "CorruptArtifactError",
    "DivergenceError",
    "DriverError",
    "MalwareError",
    "ManifestError",
    "MinicodeError",
    "MissingArtifactError",
    "RewriteError",
    "ShardError",
    "SourceError",
    "StorageError",
    "TableError",
    "TokenizerError",
]


class ArchiveError(MinicodeError):
    """There is nothing to archive, or a source can't be read."""


class TableError(MinicodeError):
    """A Software Heritage table is missing, truncated, lacks a column or repeats an id."""


class ManifestError(MinicodeError):
    """The manifest can't be resolved from these tables."""


class BlobError(MinicodeError):
    """The bytes of a blob can't be had, or do not match its id."""


class SourceError(MinicodeError):
    """A source of text can't be had or read: the server refuses, a file is not what it should be, a rule stops."""


class MalwareError(MinicodeError):
    """A scanner that is on can't be used: a text that nobody looked at must not pass as clean."""


class RewriteError(MinicodeError):
    """A step that changes texts is on and can't be done: its program is absent, or its endpoint doesn't answer."""


class CorpusError(MinicodeError):
    """The corpus can't be built: rows out of step, or nothing left after selection."""


class DriverError(MinicodeError):
    """A materialisation can't start: unknown asset, or another run holds the data folder."""
