"""The root of the exception tree: every error says what, where, found and expected, and what to type next.

minicode_assets.errors draws the whole tree; this module holds what both packages raise.
"""


class MinicodeError(Exception):
    """A problem that the user can act on.

    Args:
        what: What went wrong and where (path, SWHID or column), with found and expected values.
        hint: The next thing to do, best a command; printed as a last line `hint: ...`.
        may_pass: The same call may succeed later with nothing changed (network, quota, a lock): worth a retry.
    """

    def __init__(self, what: str, *, hint: str = "", may_pass: bool = False) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint
        self.may_pass = may_pass

    def __str__(self) -> str:
        return f"{self.what}\nhint: {self.hint}" if self.hint else self.what


class ConfigError(MinicodeError):
    """The configuration has unknown keys, wrong types or contradictions; the message lists them all."""


class ArtifactError(MinicodeError):
    """A problem with an artefact folder."""


class MissingArtifactError(ArtifactError):
    """The artefact was never completed: its manifest.json is absent."""


class CorruptArtifactError(ArtifactError):
    """A file of the artefact is absent, has another size or another SHA-256 than its manifest says."""


class StorageError(ArtifactError):
    """The data folder can't be written: no permission, no space, not a folder."""


class ShardError(MinicodeError):
    """Token shards are truncated, or were made with another tokenizer than the one at hand."""


class TokenizerError(MinicodeError):
    """The tokenizer can't be trained on this text or can't be loaded from this file."""


class CheckpointError(MinicodeError):
    """A checkpoint is absent, truncated or belongs to another configuration."""


class DivergenceError(MinicodeError):
    """The training loss became NaN or infinite."""


class SandboxError(MinicodeError):
    """Programs can't be isolated on this machine as they must be, or the sandbox itself broke; never a verdict."""


class BenchmarkError(MinicodeError):
    """A benchmark file is absent, truncated, or has another schema than its name promises."""
