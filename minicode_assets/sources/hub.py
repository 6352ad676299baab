"""Hugging Face data sets as documents: listed by huggingface_hub, read by ranges, resumed at the row.

A file is never downloaded whole unless all of it is wanted: of JSON Lines the bytes up to the limit are streamed, of
Parquet the footer and the wanted columns. A killed run goes on behind the last block that it wrote. Rules for bad
input: a row that is no JSON, has no text or is too long becomes a document with that status; a file in which none of
the first rows has the required columns, and whatever `Web` refuses, stops the run with a hint.
"""

import fnmatch
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from minicode_assets.config.hub import HubDataset
from minicode_assets.errors import SourceError
from minicode_assets.sources.document import Document
from minicode_assets.sources.hub_maps import MAPPINGS, RowMapping, as_list
from minicode_assets.sources.rows import Place, Row, check_columns, json_rows, parquet_rows
from minicode_assets.sources.web import RemoteFile, Web
from minicode_model.artifact import write_file
from minicode_model.fim import uniforms

PINNED = "pinned.json"


class Found(NamedTuple):
    """A document, the place behind its row (None where the row has more documents), and the row."""

    document: Document
    after: Place | None
    values: Mapping[str, Any]

    def row(self) -> dict[str, Any]:
        """The row of DOCUMENTS."""
        return self.document.row()


_FIRST_ROWS = 20
"""So many JSON rows without a required column are a change of schema, not bad rows."""
logger = logging.getLogger("minicode.sources")


def open_web(params: HubDataset, token: str | None) -> Web:
    """The client for a data set's files."""
    return Web(
        token=token,
        host=urlsplit(params.endpoint).netloc,
        timeout_s=params.timeout_s,
        attempts=params.attempts,
        pause_s=params.pause_s,
        access=f"accept the terms at {params.endpoint}/datasets/{params.repository}, then set HF_TOKEN",
    )


def list_files(params: HubDataset, mirror: Path, *, token: str | None) -> list[RemoteFile]:
    """The files that are read, by name; the commit is pinned in `mirror` by the first call.

    Raises:
        SourceError: No such data set or revision, no access, no such files, or another data set is pinned there.
    """
    pin = mirror / PINNED
    wanted = {"repository": params.repository, "revision": params.revision}
    if pin.is_file():
        noted = json.loads(pin.read_bytes())
        if all(noted[name] == value for name, value in wanted.items()):
            return _chosen(params, noted)
    noted = {**wanted, **_ask(params, token)}
    mirror.mkdir(parents=True, exist_ok=True)
    write_file(pin, lambda path: path.write_text(json.dumps(noted, indent=1) + "\n"))
    return _chosen(params, noted)


def _ask(params: HubDataset, token: str | None) -> dict[str, Any]:
    """The commit that a revision stands for, and its files."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )  # fmt: skip

    api = HfApi(endpoint=params.endpoint, token=token or False)
    where = f"{params.endpoint}/datasets/{params.repository}"
    try:
        found = api.dataset_info(
            params.repository, revision=params.revision, files_metadata=True, timeout=params.timeout_s
        )
    except RevisionNotFoundError as error:
        raise SourceError(f"{where}: no revision {params.revision!r}", hint="correct `revision`") from error
    except RepositoryNotFoundError as error:
        raise SourceError(
            f"{where}: no such data set, or no access to it", hint=f"accept its terms at {where}, then set HF_TOKEN"
        ) from error
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else "unknown"
        raise SourceError(
            f"{where}: the hub answered with status {status}", hint="run again later", may_pass=True
        ) from error
    except HFValidationError as error:
        raise SourceError(f"{where}: {error}", hint="correct `repository`") from error
    except Exception as error:  # of the HTTP library below, whose text may hold the token, or an answer of another form
        raise SourceError(
            f"{where}: {type(error).__name__}", hint="check the network, `endpoint` and HF_TOKEN", may_pass=True
        ) from error
    files = [
        {"path": s.rfilename, "size": s.size, "sha256": s.lfs.sha256 if s.lfs else None} for s in found.siblings or ()
    ]
    return {"commit": found.sha, "files": sorted(files, key=lambda file: str(file["path"]))}


def _chosen(params: HubDataset, noted: dict[str, Any]) -> list[RemoteFile]:
    address = f"{params.endpoint}/datasets/{params.repository}/resolve/{noted['commit']}"
    found = [
        RemoteFile(f"{address}/{file['path']}", file["path"], file["size"], file["sha256"])
        for file in noted["files"]
        if fnmatch.fnmatchcase(file["path"], params.files) and isinstance(file["size"], int) and file["size"] > 0
    ]
    if not found:
        raise SourceError(
            f"{params.repository} at {noted['commit']}: no file matches {params.files!r}; found "
            f"{', '.join(file['path'] for file in noted['files'][:5]) or 'none'}",
            hint="correct `files`",
        )
    return found[: params.max_files]


def read_file(
    name: str, file: RemoteFile, web: Web, start: Place, params: HubDataset, count: Callable[[str], None]
) -> Iterator[Found]:
    """The documents of one file from a place on.

    Args:
        name: The asset, which decides the mapping.
        file: The file.
        web: The client.
        start: Where to begin.
        params: The section.
        count: Told of each row that the sample leaves out, and of each file in another language.

    Raises:
        SourceError: The schema is another, or as `Web.stream`.
    """
    mapping = MAPPINGS[name]
    address = f"{params.endpoint}/datasets/{params.repository}"
    for row in _rows(file, web, start, params, mapping):
        record = f"{file.name}#{row.number}"
        (chance,) = uniforms(1, params.seed, "sample", f"{params.repository}/{record}")
        if chance >= params.sample_fraction:
            count("sampled_out")
            continue
        parts = _parts(row, params, mapping, count)
        for number, part in enumerate(parts, start=1):
            after = row.after if number == len(parts) else None
            yield Found(_document(part, record, address, params, mapping), after, part.values or {})


def _parts(row: Row, params: HubDataset, mapping: RowMapping, count: Callable[[str], None]) -> list[Row]:
    """The row, or one row for each record of its list."""
    if not mapping.parts or row.values is None:
        return [row]
    parts = [part for part in as_list(row.values.get(mapping.parts)) if isinstance(part, Mapping)]
    chosen = [part for part in parts if not params.languages or part.get("language") in params.languages]
    for _ in range(len(parts) - len(chosen)):
        count("other_language")
    return [row._replace(values={**row.values, **part}) for part in chosen]


def _rows(file: RemoteFile, web: Web, start: Place, params: HubDataset, mapping: RowMapping) -> Iterator[Row]:
    if file.name.endswith(".parquet"):
        return parquet_rows(
            web, file, start, columns=mapping.columns, required=mapping.required, texts=mapping.texts,
            read_ahead_bytes=params.read_ahead_bytes, block_bytes=params.block_bytes,
        )  # fmt: skip
    return _checked(file.name, json_rows(web, file, start, max_row_bytes=params.max_row_bytes), mapping)


def _checked(name: str, rows: Iterator[Row], mapping: RowMapping) -> Iterator[Row]:
    """The rows; stops where none of the first has the required columns."""
    lacking = 0
    for row in rows:
        if lacking >= 0 and row.values is not None:
            complete = all(column in row.values for column in mapping.required)
            lacking = -1 if complete else lacking + 1
            if lacking >= _FIRST_ROWS:
                check_columns(name, list(row.values), mapping.required)
        yield row


def _document(row: Row, record: str, address: str, params: HubDataset, mapping: RowMapping) -> Document:
    document = mapping.document(row.values or {}, record, address)
    if row.values is None:
        return document.dropped(row.problem)
    if params.license and not document.license:
        document = replace(document, license=params.license)
    if len(document.text) > params.max_row_bytes:
        return document.dropped("too_long")
    score = row.values.get("score")
    if params.min_score and (score if isinstance(score, int | float) else 0.0) < params.min_score:
        return document.dropped("score")
    if not document.text.strip() and not mapping.by_blob:
        return document.dropped("empty")
    return document
