"""The lint sidecar, optional: what ruff says about each document, as a score in the place of pylint's.

One process for thousands of files, where swallow-code starts a pylint for each (1.7 CPU s a file, curation.md 3e).
It informs and never drops: no rule of the selection reads it.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import polars as pl

from minicode_assets.config import Lint
from minicode_assets.corpus.annotate.sidecar import read_documents, write_sidecar
from minicode_assets.errors import CorpusError
from minicode_assets.schemas import LINT
from minicode_model.artifact import Artifact, digest_of, write_file

_FILES_A_RUN = 2000
_HINT = "pip install -c constraints.txt -e '.[lint]', or [lint] ruff = '' to turn it off"
Counts = tuple[int | None, int | None]
"""Errors and other findings; nulls where ruff can't parse the text, or does not survive it."""


def annotate(documents: Path, folder: Path, *, params: Lint, config_digest: str, cache: Path) -> Artifact:
    """After this, `folder` holds ruff's findings about each document, or nulls where it is off.

    Args:
        documents: One partition of the documents.
        folder: The artefact folder of this partition.
        params: The `lint` section.
        config_digest: Digest of the sections that shape the asset.
        cache: Folder of what ruff said, by content, version and rules.

    Returns:
        The artefact; schema LINT, the documents' rows in order. Metadata: num_linted.

    Raises:
        CorpusError: ruff can't be started, fails, takes too long or is another version.
        MissingArtifactError, CorruptArtifactError: `documents` is absent or differs from its manifest.
        StorageError: `folder` can't be written.
    """
    frame = read_documents(documents, ["document_id", "text"])
    found = (
        _lint_all(frame["text"].drop_nulls().unique(), params, cache / f"{documents.name}.json") if params.ruff else {}
    )
    rows = [
        (document_id, *_scored(text, found[_digest(text)] if text is not None and found else (None, None)))
        for document_id, text in frame.iter_rows()
    ]
    sidecar = pl.DataFrame(rows, schema=LINT.polars, orient="row")
    return write_sidecar(
        folder,
        sidecar,
        LINT,
        document_ids=frame["document_id"],
        config_digest=config_digest,
        inputs={"documents": documents},
        metadata={"num_linted": sidecar["lint_score"].count()},
    )


def _scored(text: str | None, counts: Counts) -> tuple[int | None, int | None, float | None]:
    """Counts and the score: pylint's formula, 10 - 10 x (5 x errors + others) / lines that are not blank, from 0."""
    errors, others = counts
    if text is None or errors is None or others is None:
        return None, None, None
    lines = sum(not line.isspace() for line in text.splitlines() if line)
    return errors, others, max(0.0, 10 - 10 * (5 * errors + others) / max(lines, 1))


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _lint_all(texts: pl.Series, params: Lint, cache: Path) -> dict[str, Counts]:
    """Counts by the text's digest; what is in the cache under this version and these rules is not asked again."""
    key = digest_of([params.ruff_version, list(params.rules), list(params.error_rules)])
    stored = json.loads(cache.read_text()) if cache.is_file() else {}
    found: dict[str, Counts] = {name: (a, b) for name, (a, b) in stored.get(key, {}).items()}
    missing = [text for text in texts if _digest(text) not in found]
    if missing:
        _check_version(params)
        for start in range(0, len(missing), _FILES_A_RUN):
            found |= _run(missing[start : start + _FILES_A_RUN], params)
        cache.parent.mkdir(parents=True, exist_ok=True)
        write_file(cache, lambda path: path.write_text(json.dumps({key: found})))
    return found


def _check_version(params: Lint) -> None:
    version = _call(["--version"], params).split()
    if version != ["ruff", params.ruff_version]:
        raise CorpusError(
            f"{params.ruff}: version found {' '.join(version)}, expected ruff {params.ruff_version}",
            hint="set [lint] ruff_version, so that the scores of two versions don't mix",
        )


def _run(texts: list[str], params: Lint) -> dict[str, Counts]:
    with tempfile.TemporaryDirectory(prefix="minicode-lint-") as scratch:
        for text in texts:
            # The text as it is: a newline that Python would translate is one that ruff must see.
            (Path(scratch) / f"{_digest(text)}.py").write_bytes(text.encode())
        try:
            said = _call(["check", *_OPTIONS, "--select", ",".join(params.rules), scratch], params)
        except _Crash:
            return _run_halves(texts, params)
    return _count(
        (json.loads(line) for line in said.splitlines()), [_digest(text) for text in texts], params.error_rules
    )


def _run_halves(texts: list[str], params: Lint) -> dict[str, Counts]:
    """A text that is nested too deep ends ruff and all that goes with it: it is found, and has nulls."""
    if len(texts) == 1:
        return {_digest(texts[0]): (None, None)}
    half = len(texts) // 2
    return _run(texts[:half], params) | _run(texts[half:], params)


class _Crash(Exception):  # noqa: N818 - it is caught here
    """The program was ended by a signal."""


_OPTIONS = (
    "--isolated",
    "--no-cache",
    "--ignore-noqa",
    "--exit-zero",
    "--no-respect-gitignore",
    "--output-format=json-lines",
)


def _count(findings: Iterable[dict[str, str]], names: list[str], error_rules: tuple[str, ...]) -> dict[str, Counts]:
    counts = {name: [0, 0] for name in names}
    unparsable = set()
    for finding in findings:
        name, code = Path(finding["filename"]).stem, finding["code"]
        if not code or code == "invalid-syntax":
            unparsable.add(name)
        else:
            counts[name][not code.startswith(error_rules)] += 1
    return {name: (None, None) if name in unparsable else (errors, rest) for name, (errors, rest) in counts.items()}


def _call(arguments: list[str], params: Lint) -> str:
    beside = Path(sys.executable).parent / params.ruff
    program = str(beside) if "/" not in params.ruff and beside.is_file() else params.ruff
    try:
        done = subprocess.run([program, *arguments], capture_output=True, timeout=params.timeout_s, check=True)
    except subprocess.CalledProcessError as error:
        if error.returncode < 0:
            raise _Crash from error
        told = error.stderr.decode(errors="replace")[-500:]
        raise CorpusError(f"{program}: ended with status {error.returncode}: {told}", hint=_HINT) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CorpusError(f"{program}: {error}", hint=_HINT) from error
    return done.stdout.decode()
