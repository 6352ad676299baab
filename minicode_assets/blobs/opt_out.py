"""What its authors do not want used: read once, honoured before fetching and again at selection."""

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from minicode_assets.errors import BlobError

_SWHID = re.compile(r"swh:1:(cnt|rev|snp|ori):([0-9a-f]{40})")
_COLUMNS = {"cnt": "sha1_git", "rev": "revision", "snp": "snapshot"}


@dataclass(frozen=True)
class OptOut:
    """A parsed opt-out list.

    Attributes:
        origins: Patterns over whole origin URLs.
        paths: Patterns over whole paths, raw bytes.
        ids: SWHID kind (cnt, rev, snp, ori) to ids of 20 bytes.
    """

    origins: tuple[re.Pattern[str], ...] = ()
    paths: tuple[re.Pattern[bytes], ...] = ()
    ids: dict[str, frozenset[bytes]] = field(default_factory=dict)

    def covers_origin(self, url: str) -> bool:
        """Whether an origin is opted out as a whole."""
        sha1 = hashlib.sha1(url.encode()).digest()
        return sha1 in self.ids.get("ori", ()) or any(pattern.fullmatch(url) for pattern in self.origins)

    def covers_path(self, path: bytes) -> bool:
        """Whether a path (relative to the root, no leading slash) is opted out in every origin."""
        return any(pattern.fullmatch(path) for pattern in self.paths)


def read_opt_out(path: Path) -> OptOut:
    """Read an opt-out list: `origin <glob>`, `path <glob>` or `swhid <SWHID>` a line; `#` starts a comment line.

    `*` and `?` in a glob match any character, `/` included.

    Raises:
        BlobError: The file can't be read, or lines have another form; all of them are named.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BlobError(f"{path}: can't read the opt-out list: {error}", hint="set [blobs] opt_out") from error
    origins: list[re.Pattern[str]] = []
    paths: list[re.Pattern[bytes]] = []
    ids: dict[str, set[bytes]] = {}
    problems = []
    for number, line in enumerate(lines, 1):
        kind, _, value = line.strip().partition(" ")
        value = value.strip()
        swhid = _SWHID.fullmatch(value)
        if not kind or kind.startswith("#"):
            continue
        if kind == "origin" and value:
            origins.append(re.compile(_regex(value), re.DOTALL))
        elif kind == "path" and value:
            paths.append(re.compile(_regex(value).encode(), re.DOTALL))
        elif kind == "swhid" and swhid:
            ids.setdefault(swhid[1], set()).add(bytes.fromhex(swhid[2]))
        else:
            problems.append(f"line {number}: found {line!r}")
    if problems:
        raise BlobError(
            f"{path}: expected `origin <glob>`, `path <glob>` or `swhid swh:1:<cnt|rev|snp|ori>:<40 hex digits>`; "
            + "; ".join(problems),
            hint="correct these lines: a wish that can't be read must not be passed over",
        )
    return OptOut(tuple(origins), tuple(paths), {kind: frozenset(found) for kind, found in ids.items()})


def is_opted_out(files: pl.LazyFrame, opt_out: OptOut) -> pl.Expr:
    """True for each file of a manifest that its authors opted out.

    Args:
        files: Columns origin_url, path (binary), sha1_git, revision, snapshot.
        opt_out: The list.
    """
    origins = _matching(files, "origin_url", opt_out.covers_origin) if opt_out.origins or "ori" in opt_out.ids else []
    paths = _matching(files, "path", opt_out.covers_path) if opt_out.paths else []
    found = pl.col("origin_url").is_in(origins) | pl.col("path").is_in(pl.Series(paths, dtype=pl.Binary).implode())
    for kind, column in _COLUMNS.items():
        ids = pl.Series(sorted(opt_out.ids.get(kind, ())), dtype=pl.Binary)
        found = found | pl.col(column).is_in(ids.implode())
    return found.fill_null(value=False)


def _matching(files: pl.LazyFrame, column: str, covers: Callable[..., bool]) -> list[str] | list[bytes]:
    values: Iterable[str | bytes] = files.select(pl.col(column).unique()).collect()[column].drop_nulls()
    return sorted(value for value in values if covers(value))  # type: ignore[return-value]


def _regex(glob: str) -> str:
    return "".join({"*": ".*", "?": "."}.get(letter, re.escape(letter)) for letter in glob)
