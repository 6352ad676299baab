"""Filled gaps: exact match as a table of examples, and together with the executed verdict."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicode_model.config import Sandbox
from minicode_model.errors import BenchmarkError, SandboxError
from minicode_model.evaluation.infilling import exact_match, exact_match_rate, score_infilling
from minicode_model.evaluation.problems import Problem


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


def test_rate() -> None:
    assert exact_match_rate(["a", "b", "c", "d"], ["a", "x", "c\n", "y"]) == 0.5
    with pytest.raises(BenchmarkError, match="found 0 completions"):
        exact_match_rate([], [])
    with pytest.raises(BenchmarkError, match="found 1 completions, expected 2"):
        exact_match_rate(["a"], ["a", "b"])


def test_another_solution_passes_without_matching() -> None:
    prompt, suffix = "def double(x):\n", "    return y\n"
    gap = Problem("gap", prompt, suffix, "    y = x + x\n", prompt, "", "assert double(3) == 6\n", ("double",))
    fills = ["    y = x + x\n", "    y = 2 * x\n", "    y = x\n", ""]
    try:
        rows = score_infilling([gap], {"gap": fills}, limits=Sandbox(), workers=2)
    except SandboxError as error:
        pytest.skip(str(error))
    assert [(row.scored.passed, row.exact) for row in rows] == [
        (True, True),
        (True, False),
        (False, False),
        (False, False),
    ]
