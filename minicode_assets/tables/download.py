"""A local mirror of a published export: the tables and columns that later stages need, checked and resumable."""

import json
import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import tenacity

from minicode_assets.config import Tables
from minicode_assets.errors import ConfigError, StorageError, TableError
from minicode_assets.tables.generations import GENERATIONS, Generation
from minicode_assets.tables.read import SUFFIXES, Source, declared_rows
from minicode_assets.tables.remotes import Remote, RemoteFile, open_remote
from minicode_model.artifact import storage_errors, write_file

REAL_HOSTS = ("amazonaws.com", "softwareheritage.org")
"""Servers of the real archive, which are asked only by those who accept its terms."""
TERMS = (
    "https://www.softwareheritage.org/legal/bulk-access-terms-of-use/ and "
    "https://www.softwareheritage.org/legal/users-ethical-charter/"
)
JOURNAL = "mirrored.json"
ALL = ["*"]
"""Stands for every column in the note beside a mirrored file."""
Columns = Mapping[str, Sequence[str]]
REPORT_S = 5.0
"""Seconds between two lines of progress."""

logger = logging.getLogger("minicode.tables")


@dataclass(frozen=True)
class Mirror:
    """What `mirror_export` found.

    Attributes:
        export: The folder, as `normalise_table` takes it.
        generation: Its layout.
        num_files: Files of the mirrored tables.
        num_fetched: How many of them were not there before.
        fetched_bytes: Their size on the server.
    """

    export: Path
    generation: str
    num_files: int
    num_fetched: int
    fetched_bytes: int


def mirror_export(
    folder: Path, *, params: Tables, tables: Sequence[str] = (), also: Mapping[str, Source] = MappingProxyType({})
) -> Mirror:
    """Fetch what is missing of a published export into a folder.

    A file is fetched under a temporary name, goes on where a broken connection or a killed run left it, and is kept
    only when its size is the listing's and its footer can be read. Columns that no stage reads are then left out,
    unless `params.all_columns`.

    Args:
        folder: The folder of the mirror; one folder a table appears inside.
        params: Which export, from where.
        tables: Source tables; empty means all that its generation needs, and those of `also`.
        also: Tables and columns that are wanted beyond those of the generation; where a file was mirrored without
            them, it is fetched again.

    Raises:
        ConfigError: The terms of the real archive are not accepted, or the remote is malformed.
        StorageError: The disk has not enough room.
        TableError: The remote lacks the export or a table, or a file does not become what the listing says.
    """
    check_terms(params)
    remote = open_remote(params)
    base, generation = _find(remote, params.dataset)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    sources = _united(generation.sources, also)
    wanted: list[RemoteFile] = []
    for table in tables or sources:
        found = [file for file in remote.files(f"{base}/{table}") if file.name.endswith(SUFFIXES)]
        if not found and sources[table].required:
            raise TableError(
                f"{remote.url}/{base}/{table}: found no file, expected the table {table!r}",
                hint="check [tables] dataset: this export may hold the graph in another form only",
            )
        wanted += found
    columns = {table: ALL if params.all_columns else sorted(source.columns) for table, source in sources.items()}
    missing = [file for file in wanted if not _is_mirrored(_place(folder, file), file, columns)]
    _check_room(folder, missing)
    _fetch_all(remote, folder, missing, columns, params)
    return Mirror(folder, generation.name, len(wanted), len(missing), sum(file.bytes for file in missing))


def _united(sources: Mapping[str, Source], also: Mapping[str, Source]) -> dict[str, Source]:
    """The tables of both, with the columns of both."""
    added = {
        table: replace(source, columns={**sources[table].columns, **source.columns}) if table in sources else source
        for table, source in also.items()
    }
    return {**sources, **added}


def check_terms(params: Tables) -> None:
    """Refuse to ask the real archive unless its terms are accepted.

    Raises:
        ConfigError: Says why, and where to read them.
    """
    host = urlsplit(params.s3_endpoint or params.remote).hostname or ""
    is_amazon = params.remote.startswith("s3://") and not params.s3_endpoint
    if not params.accept_terms and (is_amazon or host.endswith(REAL_HOSTS)):
        raise ConfigError(
            f"[tables] remote {params.remote}: found accept_terms = false; the archive gives its data under terms for "
            f"bulk access and an ethical charter, which you have to read and accept first: {TERMS}",
            hint="read both, then set accept_terms = true in [tables]",
        )


def _find(remote: Remote, dataset: str) -> tuple[str, Generation]:
    """The folder that holds the tables of a dataset, and their generation."""
    for base in (f"{dataset}/parquet", f"{dataset}/orc", dataset):
        names = remote.folders(base)
        for generation in GENERATIONS:
            if generation.marker in names:
                return base, generation
    raise TableError(
        f"{remote.url}/{dataset}: found {', '.join(remote.folders(dataset)) or 'nothing'}, expected a parquet/ or orc/ "
        "folder with the tables of a graph export",
        hint="check [tables] dataset against the list at https://docs.softwareheritage.org/devel/swh-export/graph/",
    )


def _place(folder: Path, file: RemoteFile) -> Path:
    """Where a file lies in the mirror: `<table>/<name>`."""
    table, name = file.path.split("/")[-2:]
    return folder / table / name


def _journal(path: Path) -> Path:
    return path.with_name(f".{path.name}.{JOURNAL}")


def _is_mirrored(path: Path, file: RemoteFile, columns: Columns) -> bool:
    """Whether the file was finished with these columns, is as long as it was then, and the remote says the same."""
    try:
        noted = json.loads(_journal(path).read_bytes())
        same = (noted["remote_bytes"], noted["local_bytes"]) == (file.bytes, path.stat().st_size)
        return same and (noted["columns"] == ALL or {*columns[path.parent.name]} <= {*noted["columns"]})
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return False


def _check_room(folder: Path, missing: Sequence[RemoteFile]) -> None:
    needed = sum(file.bytes for file in missing)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise StorageError(
            f"{folder}: found {free} bytes free, expected {needed} for {len(missing)} files",
            hint="free some space, or set MINICODE_DATA to a folder on another disk",
        )


def _fetch_all(remote: Remote, folder: Path, missing: Sequence[RemoteFile], columns: Columns, params: Tables) -> None:
    total, done, reported = sum(file.bytes for file in missing), 0, time.monotonic()
    with ThreadPoolExecutor(params.num_connections) as pool:
        running = [pool.submit(_fetch, remote, file, _place(folder, file), columns, params) for file in missing]
        try:
            for number, (file, future) in enumerate(zip(missing, running, strict=True), 1):
                future.result()
                done += file.bytes
                if time.monotonic() - reported > REPORT_S or number == len(missing):
                    reported = time.monotonic()
                    logger.info("mirror: %d of %d files, %d of %d bytes", number, len(missing), done, total)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _fetch(remote: Remote, file: RemoteFile, path: Path, columns: Columns, params: Tables) -> None:
    """One file, whole or in its needed columns, with a note of its sizes last."""
    partial = path.with_name(f".partial-{path.name}")
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    again = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(params.num_attempts),
        wait=tenacity.wait_exponential(multiplier=0.2, max=30),
        retry=tenacity.retry_if_exception_type((httpx.HTTPError, OSError)),
        reraise=True,
    )
    try:
        again(_continue, remote, file, partial)
    except (httpx.HTTPError, OSError, pa.ArrowException) as error:
        raise TableError(
            f"{remote.url}/{file.path}: {params.num_attempts} tries failed, the last with: {error}",
            hint="run again: what was fetched stays and is not fetched twice",
            may_pass=True,
        ) from error
    _check_whole(partial, file)
    # ORC readers refuse dates that nanoseconds can't hold, so rewriting could fail on sound files.
    kept = ALL if path.suffix == ".orc" else columns[path.parent.name]
    if kept != ALL:
        _keep_columns(partial, kept)
    with storage_errors(path):
        partial.replace(path)
    noted = {"remote_bytes": file.bytes, "local_bytes": path.stat().st_size, "columns": kept}
    write_file(_journal(path), lambda place: place.write_text(json.dumps(noted)))


def _continue(remote: Remote, file: RemoteFile, partial: Path) -> None:
    """Append what is missing of a file."""
    start = partial.stat().st_size if partial.exists() else 0
    if start >= file.bytes:
        return
    with storage_errors(partial), partial.open("ab") as stream:
        for chunk in remote.read(file, start):
            stream.write(chunk)
    size = partial.stat().st_size
    if size < file.bytes:
        raise ConnectionError(f"the connection ended after {size} of {file.bytes} bytes")


def _check_whole(partial: Path, file: RemoteFile) -> None:
    """Raise, and throw the file away, unless it has the listed size and a footer."""
    size = partial.stat().st_size
    try:
        if size != file.bytes:
            raise TableError(
                f"{partial}: found {size} bytes, expected {file.bytes}", hint="run again: it starts afresh"
            )
        declared_rows(partial)
    except TableError:
        partial.unlink()
        raise


def _keep_columns(path: Path, columns: Sequence[str]) -> None:
    """Rewrite a Parquet file with the named columns only, row group by row group."""
    wide = pq.ParquetFile(path)
    kept = [name for name in wide.schema_arrow.names if name in columns]
    if len(kept) == len(wide.schema_arrow.names):
        return
    narrow = path.with_name(f"{path.name}.narrow")
    schema = pa.schema([wide.schema_arrow.field(name) for name in kept])
    with storage_errors(narrow), pq.ParquetWriter(narrow, schema, compression="zstd") as writer:
        for index in range(wide.metadata.num_row_groups):
            writer.write_table(wide.read_row_group(index, columns=kept).cast(schema))
    narrow.replace(path)
