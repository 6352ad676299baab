"""What counts as configuration beside numbers: content of named files, data of packages, a scanner's signatures."""

import functools
from collections.abc import Iterable
from pathlib import Path

from minicode_assets.corpus.malware.clamd import clamd_version
from minicode_assets.errors import MalwareError
from minicode_model.artifact import digest_of, sha256_of
from minicode_model.errors import BenchmarkError
from minicode_model.evaluation.problems import benchmark_file

_SHIPPED = {
    "minicode": "corpus/malware/malware.yar",
    "minicode:spdx_texts": "corpus/annotate/spdx_texts.tsv.xz",
}
"""Data of this package by the name that stands for it, below minicode_assets/."""
CLAMD = "clamd:"
"""Begins the name that stands for the signatures of the clamd at the address behind it."""
_CLAMD_TIMEOUT_S = 2.0
"""The configuration's digest is asked for often, and a scan of nothing but the version takes a millisecond."""


def content_digests(names: Iterable[str]) -> dict[str, str | None]:
    """SHA-256 (hex) of what each name stands for; null for what is absent.

    Args:
        names: Paths of files or folders, `package:` and the name of a package with a benchmark, a name of this
            package's own data, or CLAMD and an address, of which the version counts. The key of those of packages is no
            path, so that two machines agree.
    """
    return {name: _content_digest(name) for name in names}


def _content_digest(name: str) -> str | None:
    if name.startswith(CLAMD):
        try:
            return digest_of(clamd_version(name.removeprefix(CLAMD), timeout_s=_CLAMD_TIMEOUT_S))
        except MalwareError:
            return None
    path = _path_of(name)
    return _digest(path) if path else None


def _path_of(name: str) -> Path | None:
    if name in _SHIPPED:
        return Path(__file__).parents[1] / _SHIPPED[name]
    try:
        return benchmark_file(name)
    except BenchmarkError:
        return None


def _digest(path: Path) -> str | None:
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        return digest_of([(file.relative_to(path).as_posix(), _digest(file)) for file in files])
    if not path.is_file():
        return None
    state = path.stat()
    return _sha256_of(path, state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)


@functools.lru_cache(maxsize=4096)
def _sha256_of(path: Path, *_state: int) -> str:
    """Read once a state of the file: weights are large, and digests are asked for often."""
    return sha256_of(path)
