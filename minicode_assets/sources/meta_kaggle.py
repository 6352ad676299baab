"""The data sets behind Kaggle's notebooks: title, description and identifier, which StarCoder2 shows before a notebook.

A notebook of Meta Kaggle Code is named by its KernelVersionId; four tables of Meta Kaggle lead from there to the
versions of the data sets that it reads, and to their owners. Source: BigCode's published code for them
(the-stack-v2, kaggle), which reads the same columns.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import polars as pl

from minicode_assets.archive.files import size_of
from minicode_assets.errors import SourceError

LINKS = ("KernelVersionDatasetSources.csv", ("KernelVersionId", "SourceDatasetVersionId"))
VERSIONS = ("DatasetVersions.csv", ("Id", "DatasetId", "Title", "Description", "Slug"))
OWNERS = ("Datasets.csv", ("Id", "OwnerUserId"))
USERS = ("Users.csv", ("Id", "UserName"))
"""Tables and the columns that are read of them."""


@dataclass(frozen=True)
class DataSets:
    """What notebooks read.

    Attributes:
        versions: KernelVersionId to data set versions, by number.
        texts: Data set version to its title, description and identifier.
    """

    versions: dict[int, list[int]] = field(default_factory=dict)
    texts: dict[int, str] = field(default_factory=dict)

    def about(self, path: str) -> tuple[str, ...]:
        """The texts of all data sets that a notebook reads."""
        found = self.versions.get(kernel_version(path) or -1, ())
        return tuple(self.texts[version] for version in found if version in self.texts)


def load_data_sets(folder: Path, paths: Iterable[str], *, max_characters: int) -> DataSets:
    """The data sets of the notebooks with these paths; in memory are those alone.

    Args:
        folder: Where the tables lie.
        paths: Of notebooks; names that are no number have none.
        max_characters: Longer descriptions are cut.

    Raises:
        SourceError: A table is absent, lacks a column, or is no CSV.
    """
    wanted = pl.Series([number for path in paths if (number := kernel_version(path)) is not None], dtype=pl.Int64)
    links = _rows(folder, *LINKS, key="KernelVersionId", wanted=wanted).sort(
        "KernelVersionId", "SourceDatasetVersionId"
    )
    versions: dict[int, list[int]] = {}
    for kernel, version in links.cast(pl.Int64, strict=False).drop_nulls().unique(maintain_order=True).iter_rows():
        versions.setdefault(kernel, []).append(version)
    rows = _rows(folder, *VERSIONS, key="Id", wanted=_numbers(links["SourceDatasetVersionId"]))
    owners = _rows(folder, *OWNERS, key="Id", wanted=_numbers(rows["DatasetId"]))
    users = _rows(folder, *USERS, key="Id", wanted=_numbers(owners["OwnerUserId"]))
    named = (
        rows.join(owners.rename({"Id": "DatasetId"}), on="DatasetId", how="left")
        .join(users.rename({"Id": "OwnerUserId"}), on="OwnerUserId", how="left")
        .sort("Id")
    )
    texts = {int(row["Id"]): text for row in named.iter_rows(named=True) if (text := _told(row, max_characters))}
    return DataSets({kernel: sorted(found) for kernel, found in versions.items()}, texts)


def _numbers(column: pl.Series) -> pl.Series:
    return column.str.to_integer(strict=False).drop_nulls().unique()


def _told(row: dict[str, str | None], max_characters: int) -> str:
    """Title, description and identifier, a line each; empty without a title. Source: StarCoder2's paper, 5.4."""
    title, description, slug = (
        (row[name] or "").replace("\0", "").strip() for name in ("Title", "Description", "Slug")
    )
    identifier = "/".join(filter(None, (row["UserName"], slug)))
    named = f"Kaggle dataset identifier: {identifier}" if slug else ""
    return "\n".join(filter(None, (title, description[:max_characters], named))) if title else ""


def kernel_version(path: str) -> int | None:
    """The number that a notebook is named by."""
    stem = PurePosixPath(path).stem
    return int(stem) if stem.isascii() and stem.isdecimal() and len(stem) < 19 else None


def table_sizes(folder: str) -> list[int]:
    """Bytes of the tables: what changes when they would give other texts; none without a folder."""
    return [size_of(Path(folder, name)) for name, _ in (LINKS, VERSIONS, OWNERS, USERS)] if folder else []


def _rows(folder: Path, name: str, columns: tuple[str, ...], *, key: str, wanted: pl.Series) -> pl.DataFrame:
    """The columns, as text, of the rows whose key is wanted."""
    path = folder / name
    try:
        frame = pl.scan_csv(path, glob=False, infer_schema=False, encoding="utf8-lossy")
        found = frame.collect_schema().names()
        if absent := [column for column in columns if column not in found]:
            raise SourceError(
                f"{path}: no column {', '.join(absent)}; found {', '.join(found)}", hint="give Meta Kaggle's own tables"
            )
        numbers = pl.col(name for name in columns if name.endswith("Id")).str.strip_suffix(".0")
        chosen = (
            frame.select(columns)
            .with_columns(numbers)
            .filter(pl.col(key).str.to_integer(strict=False).is_in(wanted.implode()))
        )
        return chosen.collect(engine="streaming")
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror or error}", hint="correct [notebooks] meta_kaggle") from error
    except pl.exceptions.PolarsError as error:
        raise SourceError(f"{path}: no readable CSV: {error}", hint="fetch Meta Kaggle's table again") from error
