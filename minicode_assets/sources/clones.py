"""Local clones of GitHub repositories: which files differ between the two sides of a pull request."""

import re
from collections.abc import Iterator
from pathlib import Path

from minicode_assets.archive.git import git_output
from minicode_assets.config.conversations import PullRequests
from minicode_assets.errors import SourceError
from minicode_assets.sources.commits import Blobs, head_license
from minicode_assets.sources.decode import decode
from minicode_assets.sources.diff_hunks import Change
from minicode_assets.sources.files import Licensing
from minicode_model.artifact import digest_of

_NAME = re.compile(r"[A-Za-z0-9_][\w.-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}")
FILE_MODES = frozenset({"100644", "100755"})
PROSE = (".md", ".markdown", ".rst", ".rmd", ".rdoc", ".adoc", ".asciidoc")
_ENGLISH = re.compile(r"\s(?:the|be|to|of|and|that|have|with)\s")


class Clones:
    """The clones below a folder.

    Args:
        params: The section, with the folder and the rules for files.
        licensing: How licence files are understood.

    Raises:
        SourceError: There is no such folder.
    """

    def __init__(self, params: PullRequests, licensing: Licensing) -> None:
        if params.repositories and not Path(params.repositories).is_dir():
            raise SourceError(f"{params.repositories}: found no folder", hint="correct [pull_requests] repositories")
        self._params, self._licensing = params, licensing
        self._licenses: dict[str, str | None] = {}

    def path(self, repository: str) -> Path | None:
        """Where a repository lies; None where it is not there or its name is none."""
        owner, _, name = repository.partition("/")
        if not self._params.repositories or not (_NAME.fullmatch(owner) and _NAME.fullmatch(name)):
            return None
        folder = Path(self._params.repositories, owner)
        return next((path for path in (folder / f"{name}.git", folder / name) if path.is_dir()), None)

    def license(self, repository: str) -> str | None:
        """What the licence files at its root state."""
        if repository not in self._licenses:
            path = self.path(repository)
            self._licenses[repository] = head_license(path, self._licensing) if path else None
        return self._licenses[repository]

    def changes(self, repository: str, base: str, head: str) -> list[Change]:
        """The wanted files that both commits have with different texts, by path; none where a commit is not there."""
        path = self.path(repository)
        if path is None or not (_COMMIT.fullmatch(base) and _COMMIT.fullmatch(head)):
            return []
        listing = git_output(
            path, "diff-tree", "-r", "-z", "--no-renames", "--diff-filter=M", base, head, allowed=(0, 128)
        )
        with Blobs(path) as blobs:
            return list(self._read(listing.decode("utf-8", "replace"), blobs))

    def _read(self, listing: str, blobs: Blobs) -> Iterator[Change]:
        fields = listing.split("\0")
        for modes, name in zip(fields[::2], fields[1::2], strict=False):
            old_mode, new_mode, before, after, _ = modes.split()
            if not {old_mode.lstrip(":"), new_mode} <= FILE_MODES:
                continue
            base, head = (decode(blobs.read(blob)).text for blob in (before, after))
            if base is not None and head is not None and base != head and is_wanted(name, base, self._params):
                yield Change(name, base, head)


def is_wanted(path: str, text: str, params: PullRequests) -> bool:
    """Whether a file's base is code or prose, by StarCoder2's rules for files of pull requests."""
    lines = text.splitlines()
    lengths = list(map(len, lines))
    if not text or sum(map(str.isalnum, text)) <= params.min_alphanumeric_fraction * len(text):
        return False
    if 2 * text.count("\\x") >= params.max_hex_fraction * len(text) or len(lines) >= params.max_file_lines:
        return False
    if path.lower().endswith(PROSE):
        return not path.lower().endswith((".md", ".markdown")) or bool(_ENGLISH.search(text))
    return sum(lengths) < params.max_mean_line_length * len(lines) and max(lengths) < params.max_line_length


def fingerprint(params: PullRequests) -> str:
    """Digest (hex) of the branches and tags of all clones."""
    if not params.repositories:
        return digest_of([])
    found = sorted(path for path in Path(params.repositories).glob("*/*") if path.is_dir())
    return digest_of([[f"{path.parent.name}/{path.name}", git_output(path, "for-each-ref").decode()] for path in found])
