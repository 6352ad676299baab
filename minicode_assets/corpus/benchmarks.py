"""The benchmarks table: prompts, docstrings and solutions of evaluation problems, from JSONL files by configuration."""

import gzip
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from minicode_assets.config import Benchmarks
from minicode_assets.errors import ConfigError, CorpusError
from minicode_assets.parquet import write_table
from minicode_assets.schemas import BENCHMARKS
from minicode_model.artifact import Artifact, sha256_of
from minicode_model.errors import BenchmarkError
from minicode_model.evaluation.problems import benchmark_file

_DOCSTRING = re.compile(r'"""(.*?)"""|\'\'\'(.*?)\'\'\'', re.DOTALL)

Text = tuple[str, str, int, str]
"""Task id, kind, number, text."""


def build_benchmarks(folder: Path, *, params: Benchmarks, config_digest: str) -> Artifact:
    """After this, `folder` holds the texts of every problem of the configured benchmarks.

    Args:
        folder: The artefact folder.
        params: The `benchmarks` section.
        config_digest: Digest of the sections that shape the asset.

    Returns:
        The artefact; schema BENCHMARKS, sorted by its key. Inputs: the SHA-256 of each file. Metadata: num_tasks by
        benchmark, empty without files.

    Raises:
        ConfigError: A file is absent, a package isn't installed, or two files have one name.
        CorpusError: A line is no JSON object, or no line of a file has a text in the configured fields.
        StorageError: `folder` can't be written.
    """
    paths = dict(map(_locate, params.files))
    if len(paths) < len(params.files):
        raise ConfigError(
            f"[benchmarks] files: two have the same name: {list(params.files)}", hint="rename one of the files"
        )
    frames = [_read(name, path, params) for name, path in sorted(paths.items())]
    frame = pl.concat([pl.DataFrame(schema=BENCHMARKS.polars), *frames]).sort(*BENCHMARKS.order)
    counts = frame.group_by("benchmark").agg(pl.col("task_id").n_unique()).sort("benchmark")
    return write_table(
        folder,
        frame,
        BENCHMARKS,
        config_digest=config_digest,
        inputs={name: sha256_of(path) for name, path in paths.items()},
        metadata={"num_tasks": dict(counts.iter_rows())},
    )


def _locate(file: str) -> tuple[str, Path]:
    """Name of the benchmark and path of its file."""
    try:
        path = benchmark_file(file)
    except BenchmarkError as error:
        raise ConfigError(f"[benchmarks] files: {error}") from error
    if not path.is_file():
        raise ConfigError(f"[benchmarks] files: {path}: no such file", hint="give the path of a JSONL file")
    return path.name.removesuffix(".gz").removesuffix(".jsonl"), path


def _read(name: str, path: Path, params: Benchmarks) -> pl.DataFrame:
    rows = [(name, *text) for record, line in _records(path) for text in problem_texts(record, line, params)]
    if not rows:
        raise CorpusError(
            f"{path}: no problem has a text in the fields {[*params.prompt_fields, *params.solution_fields]}",
            hint="name its fields in [benchmarks] prompt_fields and solution_fields",
        )
    frame = pl.DataFrame(rows, schema=BENCHMARKS.polars, orient="row")
    repeated = frame.filter(frame.select(BENCHMARKS.key).is_duplicated())
    if repeated.height:
        raise CorpusError(
            f"{path}: the id {repeated['task_id'][0]!r} stands on two lines",
            hint="name the field with the id in [benchmarks] id_fields",
        )
    return frame


def _records(path: Path) -> Iterator[tuple[Mapping[str, Any], int]]:
    """JSON objects and their line numbers, from 1."""
    open_text = gzip.open if path.suffix == ".gz" else open
    with open_text(path, "rt", encoding="utf-8") as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                yield _record(path, line, number), number


def _record(path: Path, line: str, number: int) -> Mapping[str, Any]:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise CorpusError(f"{path}: line {number} is no JSON: {error}", hint="one JSON object a line") from error
    if not isinstance(record, Mapping):
        raise CorpusError(f"{path}: line {number}: found {type(record).__name__}, expected an object")
    return record


def problem_texts(record: Mapping[str, Any], line: int, params: Benchmarks) -> list[Text]:
    """The texts of one problem: prompts, the docstrings inside them, and solutions.

    Args:
        record: One line of a benchmark.
        line: Its number, the id of a problem without one.
        params: The `benchmarks` section.
    """
    ids = (_field(record, name) for name in params.id_fields)
    task = str(next((found for found in ids if found is not None), line))
    prompts = _strings(record, params.prompt_fields)
    docstrings = [a or b for prompt in prompts for a, b in _DOCSTRING.findall(prompt)]
    kinds = {"prompt": prompts, "docstring": docstrings, "solution": _strings(record, params.solution_fields)}
    return [(task, kind, n, text) for kind, texts in kinds.items() for n, text in enumerate(texts) if text.strip()]


def _field(record: Mapping[str, Any], name: str) -> Any:
    """The value of a field, `a.b` for one inside another; None without it."""
    value: Any = record
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _strings(record: Mapping[str, Any], fields: Sequence[str]) -> list[str]:
    """The strings in some fields; lists, and lists written as JSON, count item by item."""
    found: list[str] = []
    for value in (_field(record, name) for name in fields):
        items = value if isinstance(value, list) else _json_list(value) if isinstance(value, str) else []
        found += [item for item in items if isinstance(item, str)]
    return found


def _json_list(value: str) -> list[Any]:
    if value.startswith("["):
        try:
            parsed = json.loads(value)
        except ValueError:
            return [value]
        if isinstance(parsed, list) and all(isinstance(item, str) for item in parsed):
            return parsed
    return [value]
