"""Annotators in several processes: the same bytes as in one, and nothing is parsed twice."""

import os
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

from minicode_assets.config import Annotators, Heuristics, Language, Malware, Pii
from minicode_assets.corpus.annotate import heuristics, language, malware, pii, syntax, workers
from minicode_assets.errors import MalwareError
from tests.corpus.worlds import documents_of

TWO = Annotators(num_workers=2, parallel_from_bytes=0)
ANNOTATORS = {
    "heuristics": (heuristics.annotate, Heuristics()),
    "pii": (pii.annotate, Pii()),
}


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    paths = sorted(Path(sysconfig.get_path("stdlib")).glob("[a-d]*.py"))[:30]
    texts: dict[str, str | None] = {path.name: path.read_text(encoding="utf-8") for path in paths}
    extra = {"none.py": None, "broken.py": "def f(:\n", "mail.py": "# Ask jo@some-host.org about it.\nx = 1\n"}
    return documents_of(texts | extra | {"again.py": texts[paths[0].name]}, tmp_path_factory.mktemp("w") / "documents")


@pytest.mark.slow
def test_any_number_of_workers_gives_the_same_bytes(documents, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "_BATCH_BYTES", 50_000)
    for name, (annotate, params) in ANNOTATORS.items():
        syntax.clear_cache()
        alone = annotate(documents, tmp_path / f"{name}-1", params=params, config_digest="")
        syntax.clear_cache()
        both = annotate(documents, tmp_path / f"{name}-2", params=params, config_digest="", workers=TWO)
        assert both.digest == alone.digest, name


@pytest.mark.slow
def test_what_a_worker_parsed_is_known_here_and_to_the_next_worker(documents, tmp_path, monkeypatch):
    syntax.clear_cache()
    language.annotate(documents, tmp_path / "language", params=Language(), config_digest="", workers=TWO)
    monkeypatch.setattr(syntax, "_parse", lambda text: pytest.fail("parsed again"))
    heuristics.annotate(documents, tmp_path / "heuristics", params=Heuristics(), config_digest="")


@pytest.mark.slow
def test_an_error_in_a_worker_is_the_error_of_the_stage(documents, tmp_path):
    params = Malware(scanners=("clamd",), clamd_address=str(tmp_path / "nobody"))
    with pytest.raises(MalwareError, match="nobody"):
        list(workers.map_rows(malware.scan_rows, [("x = 1\n",)], params, workers=TWO))


LEFT_ALONE = """
import os, signal, sys
from minicode_assets.config import Annotators, Language
from minicode_assets.corpus.annotate import language, workers
rows = [("x = 1\\n", "a.py", "swh")]
if __name__ == "__main__":
    list(workers.map_rows(language.describe_rows, rows, Language(), workers=Annotators(parallel_from_bytes=0)))
    print(*workers._pool(2)._processes, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_workers_end_with_a_process_that_is_killed(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(LEFT_ALONE)
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=False, cwd=Path.cwd(),
                          env={**os.environ, "PYTHONPATH": str(Path.cwd())})  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    children = [Path("/proc") / number for number in done.stdout.split()]
    assert children
    ended = time.monotonic() + 20
    while any(child.exists() for child in children) and time.monotonic() < ended:
        time.sleep(0.05)
    assert not [child for child in children if child.exists()]


def test_batches_keep_every_row(monkeypatch):
    monkeypatch.setattr(workers, "_BATCH_BYTES", 10)
    rows = [("a" * 4,), (None,), ("b" * 30,), ("c",), (None,)]
    assert [row for batch in workers._batches(rows, [len(row[0] or "") for row in rows]) for row in batch] == rows
    assert list(workers._batches([], [])) == []
