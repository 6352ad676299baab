"""Sections of the Software Heritage tables and of the manifest made of them."""

from dataclasses import dataclass

from minicode_model.config import operational


@dataclass(frozen=True, kw_only=True)
class Tables:
    """Where the Software Heritage tables come from."""

    export: str = "embedded"
    """`embedded` (the archive asset's folder), `published` (mirrored from the archive, see below) or the path of an
    export's folder (one folder a table inside)."""
    dataset: str = "2019-01-28-popular-3k-python"
    """Name of the published export. Source: the dataset list, software_heritage.md part 1."""
    remote: str = "s3://softwareheritage/graph"
    """Folder of the published exports: `s3://<bucket>/<prefix>`, or an `https://` listing such as
    https://annex.softwareheritage.org/public/dataset/graph."""
    s3_endpoint: str = ""
    """Another S3-compatible server, e.g. `http://127.0.0.1:9000`; empty means Amazon's."""
    s3_region: str = "us-east-1"
    """Region of the public bucket."""
    accept_terms: bool = operational(False)
    """You accept Software Heritage's terms for bulk access and its ethical charter; without it nothing is fetched."""
    all_columns: bool = False
    """Keep the columns that no later stage reads, such as messages and authors."""
    num_connections: int = operational(4)
    """Files that are fetched at the same time."""
    num_attempts: int = operational(5)
    """Tries for one file before the mirror gives up; each goes on where the last one stopped."""
    timeout_s: float = operational(60.0)
    """Longest silence of a server. Unit: seconds."""


@dataclass(frozen=True, kw_only=True)
class BranchHeads:
    """Which revision stands for an origin."""

    branches: tuple[str, ...] = ("HEAD", "refs/heads/main", "refs/heads/master")
    """Branch names in order of preference, before the single-branch, PyPI and Debian rules."""
    all_branches: bool = False
    """Take every branch of the chosen snapshot that leads to a directory, instead of one a snapshot."""
    visited_until: str = ""
    """Only visits up to this ISO 8601 date or time (UTC) count; empty means all."""
    debian_components: tuple[str, ...] = (
        "main",
        "contrib",
        "non-free",
        "non-free-firmware",
        "universe",
        "multiverse",
        "restricted",
    )
    """Middle part of `<suite>/<component>/<version>` branches. Source: the archive areas of Debian and Ubuntu."""
    max_hops: int = 32
    """Aliases, and releases of releases, that are followed before a branch is given up."""


@dataclass(frozen=True, kw_only=True)
class FileManifest:
    """How directory trees become rows."""

    max_depth: int = 64
    """Directories nested deeper are counted and left out. Source: The Stack v2 walks 64 levels."""
    max_head_entries: int = 5_000_000
    """A head with more entries (files and directories) is left out and counted: trees that blow up on purpose exist.
    The Linux kernel has some 90,000."""
    rows_per_part: int = 1_000_000
    """Rows of one part file, and so of one step's memory; a head is never cut. Unit: rows."""
    num_threads: int = operational(2)
    """Parts that are written at the same time; does not change the bytes."""
    executables: bool = False
    """Take executable files without a suffix for Python too, until their first line is read: what is no Python is
    fetched and then dropped for its language."""
    max_missing_fraction: float = 0.01
    """Share of rows without content, and of heads without a root directory, past which the checks fail, 0..1."""
