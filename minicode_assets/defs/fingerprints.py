"""Assets that read this machine: made again when what they would read has changed, which no data version tells."""

from collections.abc import Callable

from minicode_assets.archive import build
from minicode_assets.config import Config
from minicode_assets.defs.settings import project_folder
from minicode_assets.sources import clones, commits, documentation, notebooks
from minicode_model.artifact import Artifact

FINGERPRINTS: dict[str, Callable[[Config], str]] = {
    "archive": lambda config: build.fingerprint(config.archive),
    "notebooks": lambda config: notebooks.fingerprint(config.notebooks),
    "documentation": lambda config: documentation.fingerprint(config.documentation),
    "commits": lambda config: commits.fingerprint(config.commits, checkout=project_folder()),
    "pull_requests": lambda config: clones.fingerprint(config.pull_requests),
}
"""Digest of what the asset would read now, by asset."""


def is_current(artifact: Artifact, config: Config) -> bool:
    """Whether an asset that reads this machine would read the same again; true of all others."""
    now = FINGERPRINTS.get(artifact.name)
    return now is None or artifact.metadata["fingerprint"] == now(config)
