"""DeepMind Mathematics: questions and answers made offline by its package, which runs in an environment of its own.

A document is some pairs of one module, question and answer a line each, as in the published files. The package's
training modules never give what its test sets hold. Source: software_heritage.md 6.
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from minicode_assets.config.mathematics import Mathematics
from minicode_assets.errors import SourceError
from minicode_assets.sources import mathematics_worker
from minicode_assets.sources.document import Document
from minicode_assets.sources.hub import Found
from minicode_assets.sources.rows import Place

URL = "https://github.com/google-deepmind/mathematics_dataset"
VERSIONS = {"mathematics_dataset": "1.0.1", "sympy": "1.2", "numpy": "1.23.5"}
"""Another version may give other questions."""
_HINT = "make mathematics, then [mathematics] python = '.venv-mathematics/bin/python'"


def read_problems(level: str, start: int, params: Mathematics, *, folder: Path) -> Iterator[Found]:
    """The documents of a level from a number on, by module.

    Args:
        level: train-easy, train-medium or train-hard.
        start: The first document, from 0.
        params: The section.
        folder: Where a relative `python` is looked for.

    Raises:
        SourceError: The environment is absent, holds other versions, or its program fails.
    """
    asked = {
        "level": level, "start": start, "modules": params.modules, "seed": params.seed,
        "documents_per_module": params.documents_per_module, "pairs_per_document": params.pairs_per_document,
    }  # fmt: skip
    lines = _lines(folder / params.python, json.dumps(asked))
    found = json.loads(next(lines, "{}"))
    if found != VERSIONS:
        raise SourceError(f"{params.python}: versions found {found}, expected {VERSIONS}", hint=_HINT)
    for row, line in enumerate(lines, start + 1):
        name, number, pairs = json.loads(line)
        yield Found(document_of(level, name, number, pairs), Place(0, row), {})


def document_of(level: str, name: str, number: int, pairs: list[list[str]]) -> Document:
    """Pairs of one module as a document."""
    return Document(
        source="mathematics", record_id=f"{level}/{name}/{number}", origin_url=f"{URL}#{name}",
        path=f"{level}/{name}/{number}.txt", text="".join(f"{question}\n{answer}\n" for question, answer in pairs),
        url=URL, license="Apache-2.0",
    )  # fmt: skip


def _lines(python: Path, asked: str) -> Iterator[str]:
    """What the worker prints; its messages go into the error where it fails."""
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONWARNINGS": "ignore"}
    with tempfile.TemporaryFile() as errors:
        try:
            process: subprocess.Popen[str] = subprocess.Popen(
                [str(python), str(Path(mathematics_worker.__file__)), asked], stdout=subprocess.PIPE, stderr=errors,
                text=True, env=environment,
            )  # fmt: skip
        except OSError as error:
            raise SourceError(f"{python}: can't be started: {error.strerror}", hint=_HINT) from error
        assert process.stdout
        try:
            yield from process.stdout
            if process.wait():
                errors.seek(0)
                said = errors.read()[-500:].decode(errors="replace").strip()
                raise SourceError(f"{python}: status {process.returncode}: {said}", hint=_HINT)
        finally:
            process.stdout.close()
            process.kill()
            process.wait()
