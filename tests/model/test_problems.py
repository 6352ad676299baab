"""Benchmark files: the real ones where they are, and damaged ones."""

import gzip
import json
import sys
from pathlib import Path

import pytest

from minicode_model.errors import BenchmarkError
from minicode_model.evaluation.problems import MBPP_SPLITS, load_humaneval, load_infilling, load_mbpp

BENCHMARKS = Path(__file__).parents[2] / "../shared/samples/benchmarks"
MBPP = BENCHMARKS / "mbpp.jsonl"
SINGLE_LINE = BENCHMARKS / "HumanEval-SingleLineInfilling.jsonl.gz"
needs_benchmarks = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="the published benchmark files are not here")

ROW = {
    "task_id": "HumanEval/0",
    "prompt": 'def one():\n    """Give 1."""\n',
    "entry_point": "one",
    "canonical_solution": "    return 1\n",
    "test": "def check(candidate):\n    assert candidate() == 1\n",
}


def write(path: Path, *rows: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_humaneval_row_becomes_a_program_and_tests(tmp_path: Path) -> None:
    (problem,) = load_humaneval(write(tmp_path / "HumanEval.jsonl", ROW))
    assert problem.task_id == "HumanEval/0"
    assert problem.program(problem.canonical) == 'def one():\n    """Give 1."""\n    return 1\n\n'
    assert problem.tests.endswith("\ncheck(one)\n")
    assert (problem.suffix, problem.entry_points) == ("", ("one",))


def test_packed_file_reads_as_the_plain_one(tmp_path: Path) -> None:
    plain = write(tmp_path / "a.jsonl", ROW)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(plain.read_bytes()))
    assert load_humaneval(tmp_path / "a.jsonl.gz") == load_humaneval(plain)


@needs_benchmarks
def test_mbpp_counts_of_the_splits() -> None:
    counts = {split: len(load_mbpp(MBPP, split=split)) for split in (*MBPP_SPLITS, "all")}
    assert counts == {"prompt": 10, "test": 500, "validation": 90, "train": 374, "all": 974}


@needs_benchmarks
def test_mbpp_names_that_hide_builtins_belong_to_the_program() -> None:
    problems = {problem.task_id: problem for problem in load_mbpp(MBPP, split="all")}
    assert [p.task_id for p in problems.values() if p.entry_points] == ["MBPP/126"]
    assert problems["MBPP/126"].entry_points == ("sum",)
    assert problems["MBPP/596"].tests.startswith("import sys\n")  # its tests read sys, which only the solution imports
    assert "root = Node(1)" in problems["MBPP/367"].program("")


@needs_benchmarks
def test_single_line_infilling_restores_one_program_per_function() -> None:
    problems = load_infilling(SINGLE_LINE)
    assert len(problems) == 1033
    programs: dict[str, set[tuple[str, ...]]] = {}
    for problem in problems:
        lines = tuple(line for line in problem.program(problem.canonical).split("\n") if line.strip())
        programs.setdefault(problem.task_id.rsplit("/", 1)[0], set()).add(lines)
        assert problem.canonical.count("\n") == 1
    assert {len(variants) for variants in programs.values()} == {1}


@needs_benchmarks
def test_reading_needs_no_torch() -> None:
    assert "torch" not in vars(sys.modules["minicode_model.evaluation.problems"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no problems"),
        (b"{\n", "line 1: no JSON"),
        (b"[1]\n", "no field task_id"),
        (json.dumps({**ROW, "test": None}).replace('"test": null', '"x": 1').encode(), "no field test"),
        ((json.dumps(ROW) + "\n").encode() * 2, "line 2: task_id HumanEval/0 occurs twice"),
        (b"\xff\xfe", "codec"),
    ],
)
def test_damaged_file_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "HumanEval.jsonl"
    path.write_bytes(content)
    with pytest.raises(BenchmarkError, match=message) as error:
        load_humaneval(path)
    assert str(path) in str(error.value)


def test_absent_and_truncated_files(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="No such file"):
        load_humaneval(tmp_path / "absent.jsonl")
    packed = gzip.compress(json.dumps(ROW).encode() * 50)
    (tmp_path / "cut.jsonl.gz").write_bytes(packed[:-20])
    with pytest.raises(BenchmarkError, match="Compressed file ended"):
        load_humaneval(tmp_path / "cut.jsonl.gz")


def test_unknown_split(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="found 'dev', expected one of prompt, test, validation, train, all"):
        load_mbpp(tmp_path / "mbpp.jsonl", split="dev")
