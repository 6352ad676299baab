"""Files whose content counts as configuration: those that the user names, and data that come with packages."""

import functools
from collections.abc import Iterable
from pathlib import Path

from minicode_model.artifact import digest_of, sha256_of
from minicode_model.errors import BenchmarkError
from minicode_model.evaluation.problems import benchmark_file

_SHIPPED = {
    "minicode": "corpus/malware/malware.yar",
    "minicode:spdx_texts": "corpus/annotate/spdx_texts.tsv.xz",
}
"""Data of this package by the name that stands for it, below minicode_assets/."""


def content_digests(names: Iterable[str]) -> dict[str, str | None]:
    """SHA-256 (hex) of what each name stands for; null for what is absent.

    Args:
        names: Paths of files or folders, `package:` and the name of a package with a benchmark, or a name of this
            package's own data. The key of the latter two is no path, so that two machines agree.
    """
    return {name: _digest(path) if (path := _path_of(name)) else None for name in names}


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
