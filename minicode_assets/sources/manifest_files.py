"""Files of the manifest that are no Python, with their bytes from the blobs, for the sources that read them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from minicode_assets.blobs.opt_out import OptOut, is_opted_out, load_opt_out
from minicode_assets.blobs.store import in_partition
from minicode_assets.manifest.paths import lower_names
from minicode_assets.parquet import scan_table
from minicode_assets.schemas import BLOBS, FILE_MANIFEST
from minicode_assets.sources.document import Document
from minicode_assets.sources.swh import readable_path
from minicode_assets.swhid import qualified_swhid
from minicode_model.artifact import open_artifact

_REGULAR = ("file", "executable")


@dataclass(frozen=True)
class Manifest:
    """What the sources read of the archive.

    Attributes:
        file_manifest: The artefact.
        blobs: Its partitions' blobs, in order.
        opt_out: The opt_out artefact; None when nobody has any wish.
    """

    file_manifest: Path
    blobs: Sequence[Path]
    opt_out: Path | None = None

    def inputs(self) -> dict[str, str]:
        """Digests of the artefacts, all verified.

        Raises:
            MissingArtifactError, CorruptArtifactError: One is absent or differs from its manifest.
        """
        paths = {"file_manifest": self.file_manifest, **{f"blobs/{path.name}": path for path in self.blobs}}
        paths |= {"opt_out": self.opt_out} if self.opt_out else {}
        return {name: open_artifact(path).digest for name, path in paths.items()}


@dataclass(frozen=True)
class ManifestFile:
    """One place of a content.

    Attributes:
        origin_url, path: Where; the path as text.
        sha1_git, revision: 20 bytes each.
        swhid: Qualified.
        length: Bytes; 0 where the archive does not say.
        status: ok, or why there are no bytes: opted_out, not_fetched, missing.
        content: The bytes; empty unless ok.
    """

    origin_url: str
    path: str
    sha1_git: bytes
    revision: bytes
    swhid: str
    length: int
    status: str
    content: bytes

    def document(self, source: str) -> Document:
        """Its document, without a text so far."""
        return Document(
            source=source, record_id=self.swhid, origin_url=self.origin_url, path=self.path, text="",
            status=self.status, content=self.content, swhid=self.swhid, sha1_git=self.sha1_git, revision=self.revision,
        )  # fmt: skip


def manifest_files(
    manifest: Manifest, suffixes: Sequence[str], wanted: Callable[[str], bool]
) -> Iterator[ManifestFile]:
    """The files whose names end so and are wanted, by content, origin, revision and path; memory: one part of blobs.

    Args:
        manifest: The artefacts; see `Manifest.inputs` for their digests.
        suffixes: Ends of names, in lower case.
        wanted: Of the path as text.
    """
    name = lower_names()
    chosen = pl.any_horizontal([pl.lit(value=False), *(name.str.ends_with(suffix) for suffix in suffixes)])
    wishes = load_opt_out(manifest.opt_out) if manifest.opt_out else OptOut()
    for blobs in manifest.blobs:
        files = scan_table(manifest.file_manifest, FILE_MANIFEST, verify=False).filter(
            chosen.fill_null(value=False) & ~pl.col("is_python") & pl.col("kind").is_in(_REGULAR)
            & in_partition("sha1_git", blobs.name)
        )  # fmt: skip
        rows = files.with_columns(opted_out=is_opted_out(files, wishes)).collect()
        for frame in _with_bytes(rows, blobs):
            for row in frame.sort("sha1_git", "origin_url", "revision", "path").iter_rows(named=True):
                if wanted(readable_path(row["path"])):
                    yield _file_of(row)


def _with_bytes(rows: pl.DataFrame, blobs: Path) -> Iterator[pl.DataFrame]:
    """The rows with `data` and `found` (status of the blob), a part of the blobs at a time; at last those without."""
    seen = pl.DataFrame(schema={"sha1_git": pl.Binary})
    for part in sorted(blobs.glob("part-*.parquet")):
        found = scan_table(blobs, BLOBS, pattern=part.name, verify=False)
        joined = found.select("sha1_git", "data", found="status").join(rows.lazy(), on="sha1_git").collect()
        seen = pl.concat([seen, joined.select("sha1_git").unique()])
        yield joined
    rest = rows.join(seen, on="sha1_git", how="anti")
    yield rest.with_columns(data=pl.lit(None, pl.Binary), found=pl.lit(None, pl.String))


def _file_of(row: dict[str, Any]) -> ManifestFile:
    status = (
        "opted_out" if row["opted_out"] else "ok" if row["data"] is not None else str(row["found"] or "not_fetched")
    )
    if status not in ("ok", "opted_out", "not_fetched"):
        status = "missing"
    names = ("sha1_git", "origin_url", "snapshot", "revision", "path", "anchor")
    identity: dict[str, Any] = {name: row[name] for name in names}
    return ManifestFile(
        origin_url=identity["origin_url"], path=readable_path(identity["path"]), sha1_git=identity["sha1_git"],
        revision=identity["revision"], swhid=qualified_swhid(**identity), length=row["length"] or 0, status=status,
        content=row["data"] if status == "ok" else b"",
    )  # fmt: skip
