"""Filled gaps: exact match as a table of examples, and together with the executed verdict."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicode_model.config import BenchmarkScores, Model, Sandbox
from minicode_model.errors import SandboxError
from minicode_model.evaluation import benchmarks
from minicode_model.evaluation.benchmarks import load_suites, write_completions
from minicode_model.evaluation.infilling import exact_match
from minicode_model.evaluation.pass_at_k import score
from minicode_model.evaluation.problems import Problem
from minicode_model.generate import Row
from minicode_model.model import initialise
from tests.tokens.corpora import small_tokenizer


@pytest.mark.parametrize(
    ("completion", "canonical", "expected"),
    [
        ("    return x\n", "    return x\n", True),
        ("    return x", "    return x\n", True),
        ("    return x  \n\n", "    return x\n", True),
        ("    return x\r\n", "    return x\n", True),
        ("return x\n", "    return x\n", False),  # indentation is meaning
        ("\treturn x\n", "    return x\n", False),
        ("    return x\n    y\n", "    return x\n", False),
        ("\n    return x\n", "    return x\n", False),
        ("a\n\nb\n", "a\nb\n", False),
        ("", "\n", True),
        ("", "pass\n", False),
    ],
)
def test_exact_match(completion: str, canonical: str, expected: bool) -> None:
    assert exact_match(completion, canonical) is expected


@given(st.text("ab \n\t"), st.text("ab \n\t"))
def test_exact_match_is_an_equivalence(one: str, other: str) -> None:
    assert exact_match(one, one)
    assert exact_match(one, other) == exact_match(other, one)
    assert exact_match(one + "\n", one)


def test_a_line_that_was_cut_at_its_end_gets_it_back(tmp_path, monkeypatch) -> None:
    """A model that writes just the author's line must pass, as in the benchmark's own harness."""
    row = {"task_id": "one", "entry_point": "double", "test": "def check(double):\n    assert double(3) == 6\n"}
    row |= {"prompt": "def double(x):\n", "canonical_solution": "    y = x + x\n", "suffix": "    return y"}
    (tmp_path / "Single.jsonl").write_text(json.dumps(row))
    params = BenchmarkScores(humaneval="", infilling=(str(tmp_path / "Single.jsonl"),), num_samples=1)
    (suite,) = load_suites(params)

    def author(model, tokenizer, prompts, *, stop, **options) -> list[bytes]:
        written = Row(tokenizer, stop)
        for token in tokenizer.encode("    y = x + x\n    and more"):
            written.add(int(token))
        return [written.text]

    monkeypatch.setattr(benchmarks, "generate", author)
    model = initialise(Model(vocab_size=small_tokenizer().vocab_size), 0)
    (text,) = write_completions(model, small_tokenizer(), suite, params)["one"]
    (problem,) = suite.problems
    assert problem.program(text) == problem.program(problem.canonical)
    assert exact_match(text, problem.canonical)


def test_gaps_that_are_no_single_line_have_no_stop_and_no_end(tmp_path) -> None:
    row = {"task_id": "one", "entry_point": "f", "test": "", "prompt": "def f(x):\n    return ", "suffix": " + 1\n"}
    (tmp_path / "Span.jsonl").write_text(json.dumps(row | {"canonical_solution": "x"}))
    (suite,) = load_suites(BenchmarkScores(humaneval="", infilling=(str(tmp_path / "Span.jsonl"),)))
    assert (suite.stop, suite.end) == ((), "")


def test_another_solution_passes_without_matching() -> None:
    prompt, suffix = "def double(x):\n", "    return y\n"
    gap = Problem("gap", prompt, suffix, "    y = x + x\n", prompt, "", "assert double(3) == 6\n", ("double",))
    fills = ["    y = x + x\n", "    y = 2 * x\n", "    y = x\n", ""]
    try:
        rows = score([gap], {"gap": fills}, limits=Sandbox(), workers=2)
    except SandboxError as error:
        pytest.skip(str(error))
    assert [(row.passed, exact_match(text, gap.canonical)) for row, text in zip(rows, fills, strict=True)] == [
        (True, True),
        (True, False),
        (False, False),
        (False, False),
    ]
