"""What its authors do not want used: read once, honoured before fetching, in the documents and at selection."""

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote

import polars as pl

from minicode_assets.errors import BlobError
from minicode_assets.parquet import read_table, write_table
from minicode_assets.schemas import OPT_OUT
from minicode_model.artifact import Artifact

_SWHID = re.compile(r"swh:1:(cnt|rev|snp|ori):([0-9a-f]{40})(;\S*)?")
_OWNER = re.compile(r"(?:([^/\s*?]+)/)?([^/\s*?]+)")
_SCP = re.compile(r"\A[\w.-]+@([\w.-]+):(?!/)")
_SCHEME = re.compile(r"(?:[\w+.*?-]+://)?(?:[^/@]*@)?(?:www\.)?", re.IGNORECASE)
_ORIGIN = re.compile(r"([^/:]+)(?::\d+)?/([^/]+)(?:/|$)")
_COLUMNS = {"cnt": "sha1_git", "rev": "revision", "snp": "snapshot"}


Text = TypeVar("Text", str, bytes)


@dataclass(frozen=True)
class OptOut:
    """A parsed opt-out list.

    Attributes:
        origins: Patterns over whole origin URLs, without scheme, account, `www.`, and a closing `/` or `.git`.
        owners: (host, owner) in lower case; an empty host is any.
        paths: Patterns over whole paths, raw bytes.
        urls: Patterns over the whole address of another source's record, without a closing `/`.
        users: Accounts, in lower case, whose words in conversations are not used.
        ids: SWHID kind (cnt, rev, snp, ori) to ids of 20 bytes.
    """

    origins: tuple[re.Pattern[str], ...] = ()
    owners: frozenset[tuple[str, str]] = frozenset()
    paths: tuple[re.Pattern[bytes], ...] = ()
    urls: tuple[re.Pattern[str], ...] = ()
    users: frozenset[str] = frozenset()
    ids: dict[str, frozenset[bytes]] = field(default_factory=dict)

    def covers_origin(self, url: str) -> bool:
        """Whether an origin is opted out as a whole."""
        if hashlib.sha1(url.encode()).digest() in self.ids.get("ori", ()):
            return True
        where = _ORIGIN.match(_bare(url).lower())
        if where and {(where[1], where[2]), ("", where[2])} & self.owners:
            return True
        return any(pattern.fullmatch(_bare(url)) for pattern in self.origins)

    def covers_path(self, path: bytes) -> bool:
        """Whether a path (relative to the root, no leading slash) is opted out in every origin."""
        composed = _composed(path)
        return any(pattern.fullmatch(composed) for pattern in self.paths)

    def covers_url(self, url: str) -> bool:
        """Whether the record at an address is opted out."""
        return any(pattern.fullmatch(_bare(url)) for pattern in self.urls)


def build_opt_out(folder: Path, *, file: str, config_digest: str) -> Artifact:
    """After this, `folder` holds the wishes of an opt-out list, one a row: other comments or order, the same bytes.

    Args:
        folder: The artefact folder.
        file: Path of the list; empty for none.
        config_digest: Digest of the sections that shape the asset, and of the list.

    Returns:
        The artefact; schema OPT_OUT, sorted, distinct.

    Raises:
        BlobError: The list can't be read, or lines have another form.
    """
    frame = parse_opt_out(Path(file)) if file else pl.DataFrame(schema=OPT_OUT.polars)
    return write_table(folder, frame, OPT_OUT, config_digest=config_digest, inputs={})


def load_opt_out(folder: Path) -> OptOut:
    """The wishes of an opt_out artefact."""
    return _compiled(read_table(folder, OPT_OUT))


def read_opt_out(path: Path) -> OptOut:
    """The wishes of an opt-out list. Raises: see `parse_opt_out`."""
    return _compiled(parse_opt_out(path))


def parse_opt_out(path: Path) -> pl.DataFrame:
    """Read an opt-out list: a wish a line, `#` starts a comment line.

    `origin <glob>`, `owner <name>` or `owner <host>/<name>` (the first part of an origin's path), `path <glob>`,
    `url <glob>` (of another source's record), `user <account>` (who wrote in conversations), `swhid <SWHID>` of a
    content, revision, snapshot or origin; a content goes wherever it is, so qualifiers are passed over. `*` and `?` in
    a glob match any character, `/` included; an owner is no glob. Origins, owners, addresses and accounts are compared
    without case, `http` and `ssh` are `https`, `git@host:owner/name` too. A path that ends in `/` is all below it.

    Returns:
        Schema OPT_OUT, sorted, distinct.

    Raises:
        BlobError: The file can't be read, or lines have another form; all of them are named.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BlobError(f"{path}: can't read the opt-out list: {error}", hint="set [opt_out] file") from error
    wishes, problems = [], []
    for number, line in enumerate(lines, 1):
        kind, value = (*line.strip().split(maxsplit=1), "", "")[:2]
        if not kind or kind.startswith("#"):
            continue
        if wish := _wish(kind, value.strip()):
            wishes.append((kind, wish))
        else:
            problems.append(f"line {number}: found {line!r}")
    if problems:
        raise BlobError(
            f"{path}: expected `origin <glob>`, `owner [<host>/]<name>`, `path <glob>`, `url <glob>`, `user <name>` or "
            "`swhid swh:1:<cnt|rev|snp|ori>:<40 hex digits>`; " + "; ".join(problems),
            hint="correct these lines: a wish that can't be read must not be passed over",
        )
    return pl.DataFrame(wishes, schema=OPT_OUT.polars, orient="row").unique().sort(*OPT_OUT.order)


def _wish(kind: str, value: str) -> str | None:
    """The value in its plainest form; None where it is none."""
    if kind == "swhid":
        return value.partition(";")[0] if _SWHID.fullmatch(value) else None
    if kind == "owner":
        return _composed(value).lower() if _OWNER.fullmatch(value) else None
    if kind == "user":
        return value.lower() if value and not re.search(r"\s", value) else None
    if kind == "path":
        value = _composed(value.lstrip("/"))
        return f"{value}*" if value.endswith("/") else value or None
    return value or None if kind in ("origin", "url") else None


def _compiled(wishes: pl.DataFrame) -> OptOut:
    values = {
        kind: wishes.filter(pl.col("kind") == kind)["value"].to_list()
        for kind in ("origin", "owner", "path", "url", "user")
    }
    ids: dict[str, set[bytes]] = {}
    for swhid in wishes.filter(pl.col("kind") == "swhid")["value"]:
        _, _, kind, digits = swhid.split(":")
        ids.setdefault(kind, set()).add(bytes.fromhex(digits))
    owners = [value.rpartition("/") for value in values["owner"]]
    return OptOut(
        tuple(re.compile(_regex(_bare(value)), re.DOTALL | re.IGNORECASE) for value in values["origin"]),
        frozenset((host, owner) for host, _, owner in owners),
        tuple(re.compile(_regex(value).encode(), re.DOTALL) for value in values["path"]),
        tuple(re.compile(_regex(_bare(value)), re.DOTALL | re.IGNORECASE) for value in values["url"]),
        frozenset(values["user"]),
        {kind: frozenset(found) for kind, found in ids.items()},
    )


def _bare(url: str) -> str:
    """What is left of an address without what makes two of one repository differ."""
    shown = _SCP.sub(r"\1/", _composed(unquote(url)), count=1)
    return _SCHEME.sub("", shown, count=1).rstrip("/").removesuffix(".git")


def _composed(text: Text) -> Text:
    """The text with letters and their marks in one (NFC); bytes that are no UTF-8 as they are."""
    if isinstance(text, str):
        return unicodedata.normalize("NFC", text)
    try:
        return unicodedata.normalize("NFC", text.decode()).encode()
    except UnicodeDecodeError:
        return text


def is_opted_out(files: pl.LazyFrame, opt_out: OptOut) -> pl.Expr:
    """True for each file of a manifest that its authors opted out.

    Args:
        files: Columns origin_url, path (binary), sha1_git, revision, snapshot; of other sources' records also url.
        opt_out: The list.
    """
    by_origin = opt_out.origins or opt_out.owners or "ori" in opt_out.ids
    origins = _matching(files, "origin_url", opt_out.covers_origin) if by_origin else []
    paths = _matching(files, "path", opt_out.covers_path) if opt_out.paths else []
    found = pl.col("origin_url").is_in(origins) | pl.col("path").is_in(pl.Series(paths, dtype=pl.Binary).implode())
    if opt_out.urls and "url" in files.collect_schema().names():
        found = found | pl.col("url").is_in(_matching(files, "url", opt_out.covers_url))
    for kind, column in _COLUMNS.items():
        ids = pl.Series(sorted(opt_out.ids.get(kind, ())), dtype=pl.Binary)
        found = found | pl.col(column).is_in(ids.implode())
    return found.fill_null(value=False)


def _matching(files: pl.LazyFrame, column: str, covers: Callable[..., bool]) -> list[str] | list[bytes]:
    values: Iterable[str | bytes] = files.select(pl.col(column).unique()).collect()[column].drop_nulls()
    return sorted(value for value in values if covers(value))  # type: ignore[return-value]


def _regex(glob: str) -> str:
    return "".join({"*": ".*", "?": "."}.get(letter, re.escape(letter)) for letter in glob)
