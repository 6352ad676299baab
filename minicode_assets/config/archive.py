"""Sections of the embedded archive and of the partitions."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Archive:
    """The embedded archive: what on this machine becomes a small Software Heritage."""

    standard_library: bool = True
    """Archive Python's standard library as one origin."""
    distributions: tuple[str, ...] = ("minicode",)
    """Installed distributions whose run-time requirements are archived, one origin each, with themselves unless they
    are editable installs; `*` means all that are installed. Development tools thus don't change the archive."""
    git_repositories: tuple[str, ...] = ()
    """Local git repositories (work trees or bare), one origin each. Unit: paths."""
    max_python_bytes: int = 30_000_000
    """Python files of the standard library and the distributions together. Distributions are taken whole, in order of
    name; one that no longer fits is passed over. Unit: bytes."""
    max_distribution_bytes: int = 6_000_000
    """A distribution with more Python than this is left out, so that no origin dominates. Unit: bytes."""
    max_content_bytes: int = 1_000_000
    """Longer contents are listed in `skipped_content` and their bytes are not stored, as Software Heritage does from
    100 MB on. Unit: bytes."""
    max_repository_bytes: int = 4_000_000_000
    """A git repository whose objects are larger in sum can't be archived. Unit: bytes, uncompressed."""
    gzip_level: int = 1
    """Compression of the stored contents, 1..9. Source: measured on the tiny archive's 51 MB: level 6 saves 15 % of
    the space and takes 3 times as long (1.2 s for 0.4 s)."""
    layout: str = "2019-01-28"
    """Which layout the tables are written in: `2019-01-28` or `2021-03-23`."""


@dataclass(frozen=True, kw_only=True)
class Partitions:
    """How what is per content is cut."""

    num_prefixes: int = 16
    """Prefix partitions of sha1_git: a power of two, at most 64 (from 100 on Dagster stops recording provenance)."""


def archive_problems(archive: Archive) -> list[str]:
    """What is wrong inside the archive's section, one message each."""
    problems = []
    if archive.layout not in ("2019-01-28", "2021-03-23"):
        problems.append(f"[archive] layout: found {archive.layout!r}, expected '2019-01-28' or '2021-03-23'")
    if not 1 <= archive.gzip_level <= 9:
        problems.append(f"[archive] gzip_level: found {archive.gzip_level}, expected 1..9")
    return problems
