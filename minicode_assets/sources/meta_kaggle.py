"""The data sets behind Kaggle's notebooks: title and description, which StarCoder2 shows before a notebook.

A notebook of Meta Kaggle Code is named by its KernelVersionId; two tables of Meta Kaggle lead from there to the
versions of the data sets that it reads. Source: curation.md 2.6, software_heritage.md 6; the columns' names are from
memory.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import polars as pl

from minicode_assets.archive.files import size_of
from minicode_assets.errors import SourceError

LINKS = ("KernelVersionDatasetSources.csv", ("KernelVersionId", "SourceDatasetVersionId"))
VERSIONS = ("DatasetVersions.csv", ("Id", "Title", "Description"))
"""Tables and the columns that are read of them."""


@dataclass(frozen=True)
class DataSets:
    """What notebooks read.

    Attributes:
        versions: KernelVersionId to data set versions, by number.
        texts: Data set version to its title, a heading, and its description.
    """

    versions: dict[int, list[int]] = field(default_factory=dict)
    texts: dict[int, str] = field(default_factory=dict)

    def about(self, path: str) -> str:
        """The texts of all data sets that a notebook reads; empty without any."""
        found = self.versions.get(kernel_version(path) or -1, ())
        return "\n\n".join(self.texts[version] for version in found if version in self.texts)


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
    used = links["SourceDatasetVersionId"].str.to_integer(strict=False).drop_nulls().unique()
    versions: dict[int, list[int]] = {}
    for kernel, version in links.cast(pl.Int64, strict=False).drop_nulls().unique(maintain_order=True).iter_rows():
        versions.setdefault(kernel, []).append(version)
    rows = _rows(folder, *VERSIONS, key="Id", wanted=used).cast({"Id": pl.Int64})
    texts = {
        number: "\n\n".join(filter(None, (f"# {title.strip()}", (description or "").strip()[:max_characters])))
        for number, title, description in rows.iter_rows()
        if title and title.strip()
    }
    return DataSets({kernel: sorted(found) for kernel, found in versions.items()}, texts)


def kernel_version(path: str) -> int | None:
    """The number that a notebook is named by."""
    stem = PurePosixPath(path).stem
    return int(stem) if stem.isascii() and stem.isdecimal() and len(stem) < 19 else None


def table_sizes(folder: str) -> list[int]:
    """Bytes of the tables: what changes when they would give other texts; none without a folder."""
    return [size_of(Path(folder, name)) for name, _ in (LINKS, VERSIONS)] if folder else []


def _rows(folder: Path, name: str, columns: tuple[str, ...], *, key: str, wanted: pl.Series) -> pl.DataFrame:
    """The columns, as text, of the rows whose key is wanted."""
    path = folder / name
    try:
        frame = pl.scan_csv(path, infer_schema=False, encoding="utf8-lossy")
        found = frame.collect_schema().names()
        if absent := [column for column in columns if column not in found]:
            raise SourceError(
                f"{path}: no column {', '.join(absent)}; found {', '.join(found)}", hint="give Meta Kaggle's own tables"
            )
        chosen = frame.select(columns).filter(pl.col(key).str.to_integer(strict=False).is_in(wanted.implode()))
        return chosen.collect(engine="streaming")
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror or error}", hint="correct [notebooks] meta_kaggle") from error
    except pl.exceptions.PolarsError as error:
        raise SourceError(f"{path}: no readable CSV: {error}", hint="fetch Meta Kaggle's table again") from error
