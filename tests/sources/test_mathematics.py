"""DeepMind Mathematics: a real program in the place of its environment, which answers as the worker does.

The pairs were made by the worker itself: mathematics_dataset 1.0.1, SymPy 1.2, NumPy 1.23.5, seed 1, train-easy.
"""

import json
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from minicode_assets.config import load
from minicode_assets.defs.dumps import mathematics
from minicode_assets.defs.stage import StageRun
from minicode_assets.errors import ConfigError, SourceError
from minicode_assets.layout import Layout
from minicode_assets.sources.mathematics import VERSIONS, document_of
from minicode_assets.sources.mathematics_worker import flat
from minicode_assets.tokens.source_formats import format_of

PAIRS = [["Solve -197*o - 49 = -204*o for o.", "7"], ["Solve -4*d + 24 - 12 = 0 for d.", "3"]]
PROGRAM = """#!{python}
import json, os, pathlib, sys
asked = json.loads(sys.argv[2])
assert os.environ["PYTHONHASHSEED"] == "0" and pathlib.Path(sys.argv[1]).name == "mathematics_worker.py"
pathlib.Path(sys.argv[0]).with_name("asked").open("a").write(str(asked["start"]) + "\\n")
print(json.dumps({versions}))
for number in range(asked["start"], asked["documents_per_module"]):
    if number == {fails_at}:
        sys.exit("Traceback: no memory")
    print(json.dumps(["algebra__linear_1d", number, {pairs}]))
"""
GOLDEN = {
    "one pair, as StarCoder2 has it": (PAIRS[:1], "Solve -197*o - 49 = -204*o for o.\n7\n"),
    "pairs follow each other": (PAIRS, "Solve -197*o - 49 = -204*o for o.\n7\nSolve -4*d + 24 - 12 = 0 for d.\n3\n"),
    "letters": ([["Which is the nearest to 5?  (a) 5  (b) -0.05  (c) -1", "a"]],
                "Which is the nearest to 5?  (a) 5  (b) -0.05  (c) -1\na\n"),
    "polynomials": ([["What is the s'th term of -48, -95, -142, -189, -236, -283?", "-47*s - 1"]],
                    "What is the s'th term of -48, -95, -142, -189, -236, -283?\n-47*s - 1\n"),
    "truth": ([["Is 18457 a composite number?", "False"]], "Is 18457 a composite number?\nFalse\n"),
}  # fmt: skip


@pytest.mark.parametrize(("pairs", "expected"), GOLDEN.values(), ids=list(GOLDEN))
def test_golden(pairs: list[list[str]], expected: str) -> None:
    document = document_of("train-easy", "algebra__linear_1d", 3, pairs)
    assert (document.text, document.record_id) == (expected, "train-easy/algebra__linear_1d/3")
    assert (document.license, document.path) == ("Apache-2.0", "train-easy/algebra__linear_1d/3.txt")
    assert format_of(document.source).parts(document.text, "d") == ("", "<file_sep>", expected)


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., Path]:
    def written(fails_at: int = -1, versions: dict[str, str] = VERSIONS) -> Path:
        path = tmp_path / "python"
        path.write_text(PROGRAM.format(python=sys.executable, versions=versions, fails_at=fails_at, pairs=PAIRS))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    return written


def collect(folder: Path, python: Path, **changes: Any) -> Any:
    overrides = {"enabled": True, "python": str(python), "documents_per_module": 40, "block_bytes": 3000, **changes}
    run = StageRun(load("tiny", {"mathematics": overrides}), Layout(folder / "data"), "mathematics", "train-easy")
    return mathematics(run)


def test_documents_of_a_level(program: Callable[..., Path], tmp_path: Path) -> None:
    outcome = collect(tmp_path, program())
    frame = pl.read_parquet(outcome.artifact.path / "*.parquet")
    assert (frame.height, set(frame["status"])) == (40, {"ok"})
    assert all(passed for passed, _ in outcome.checks.values())
    assert collect(tmp_path / "again", program()).artifact.digest == outcome.artifact.digest


def test_a_run_that_failed_goes_on_behind_its_last_block(program: Callable[..., Path], tmp_path: Path) -> None:
    whole = collect(tmp_path / "whole", program()).artifact
    (tmp_path / "asked").unlink()
    with pytest.raises(SourceError, match="status 1: Traceback: no memory") as caught:
        collect(tmp_path, program(fails_at=25))
    assert "make mathematics" in str(caught.value)
    assert collect(tmp_path, program()).artifact.digest == whole.digest
    first, second = map(int, (tmp_path / "asked").read_text().split())
    assert first == 0 < second < 25


def test_an_environment_that_can_not_be_used(program: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="can't be started"):
        collect(tmp_path, tmp_path / "absent")
    with pytest.raises(SourceError, match=r"versions found .*'1.14'.*expected"):
        collect(tmp_path, program(versions={**VERSIONS, "sympy": "1.14"}))


def test_the_worker_itself_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"mathematics_dataset.*\n?hint: make mathematics"):
        collect(tmp_path, Path(sys.executable))


def test_modules_have_joined_names() -> None:
    given = {"algebra": {"linear": {"one": print}, "two": len}, "x": repr}
    assert json.dumps([name for name, _ in flat(given)]) == '["algebra__linear__one", "algebra__two", "x"]'


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"levels": ["train-easy", "interpolate"]}, "'interpolate' is none of train-easy"),
        ({"levels": []}, "expected one or more"),
        ({"pairs_per_document": 0}, "found 0, expected more than 0"),
    ],
)
def test_configurations_that_can_not_be(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load("tiny", {"mathematics": overrides})
