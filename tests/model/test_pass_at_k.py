"""pass@k against its definition, and whole benchmarks against their authors' solutions."""

import itertools
import json
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicode_model.config import Sandbox
from minicode_model.errors import BenchmarkError, SandboxError
from minicode_model.evaluation.pass_at_k import Scored, mean_pass_at_k, pass_at_k, score
from minicode_model.evaluation.problems import Problem, load_infilling, load_mbpp
from minicode_model.evaluation.sandbox import Cell

BENCHMARKS = Path(__file__).parents[2] / "../shared/samples/benchmarks"
needs_benchmarks = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="the published benchmark files are not here")
LIMITS = Sandbox()


@pytest.fixture(scope="module")
def sandbox_here() -> None:
    try:
        Cell(LIMITS).close()
    except SandboxError as error:
        pytest.skip(str(error))


def problem(name: str, result: int) -> Problem:
    tests = f"assert {name}() == {result}\n"
    return Problem(name, f"def {name}():", "", f" return {result}\n", f"def {name}():", "", tests, ())


def mbpp() -> list[Problem]:
    return load_mbpp(BENCHMARKS / "mbpp.jsonl", split="all")


def single_line() -> list[Problem]:
    return load_infilling(BENCHMARKS / "HumanEval-SingleLineInfilling.jsonl.gz")


def some(problems: Sequence[Problem]) -> list[Problem]:
    return random.Random(7).sample(list(problems), 12)


def canonical(problem: Problem) -> str:
    return problem.canonical


def empty(problem: Problem) -> str:
    return ""


def outcome(
    problems: Sequence[Problem], completion: Callable[[Problem], str], limits: Sandbox = LIMITS
) -> list[Scored]:
    return score(problems, {p.task_id: [completion(p)] for p in problems}, limits=limits, workers=2)


# ------------------------------------------------------------------------------------------ the estimator


@given(st.integers(1, 9).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_equals_the_share_of_all_choices(ncf: tuple[int, int, int]) -> None:
    num_samples, num_correct, k = ncf
    choices = list(itertools.combinations([i < num_correct for i in range(num_samples)], k))
    assert pass_at_k(num_samples, num_correct, k) == pytest.approx(sum(map(any, choices)) / len(choices), abs=1e-15)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [((1, 1, 1), 1.0), ((5, 1, 2), 0.4), ((200, 0, 100), 0.0), ((200, 1, 100), 0.5), ((10**6, 10**6, 1), 1.0)],
)
def test_by_hand(arguments: tuple[int, int, int], expected: float) -> None:
    assert pass_at_k(*arguments) == expected


@pytest.mark.parametrize("arguments", [(3, 4, 1), (3, -1, 1), (3, 1, 0), (3, 1, 4), (0, 0, 1)])
def test_out_of_range(arguments: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="expected 0 <= c <= n"):
        pass_at_k(*arguments)


def test_mean_over_problems() -> None:
    rows = [Scored("a", n, n == 0, "passed" if n == 0 else "failed", "") for n in range(5)]
    rows += [Scored("b", n, False, "failed", "") for n in range(2)]
    assert mean_pass_at_k(rows, 2) == pytest.approx((0.4 + 0.0) / 2)
    with pytest.raises(BenchmarkError, match="b has 2 samples, expected at least 3"):
        mean_pass_at_k(rows, 3)
    with pytest.raises(BenchmarkError, match="no samples at all"):
        mean_pass_at_k([], 1)


# ------------------------------------------------------------------------------------------ running samples


@pytest.mark.usefixtures("sandbox_here")
def test_rows_are_in_order_whatever_the_workers() -> None:
    problems = [problem("f", 1), problem("g", 2), problem("h", 3)]
    completions = {"h": [" return 3"], "f": [" return 1", " return 0", " while 1: f(", " return 1"], "g": ["", " 1/0"]}
    one, two = (score(problems, completions, limits=LIMITS, workers=workers) for workers in (1, 2))
    assert one == two
    assert [(r.task_id, r.sample, r.status) for r in one] == [
        *[("f", 0, "passed"), ("f", 1, "failed"), ("f", 2, "error"), ("f", 3, "passed")],
        *[("g", 0, "error"), ("g", 1, "error"), ("h", 0, "passed")],
    ]
    assert mean_pass_at_k(one, 1) == pytest.approx((0.5 + 0 + 1) / 3)


def test_completions_must_fit_the_problems() -> None:
    with pytest.raises(BenchmarkError, match="1 tasks without completion, first f"):
        score([problem("f", 1)], {"f": []}, limits=LIMITS, workers=1)
    with pytest.raises(BenchmarkError, match="1 tasks unknown, first g"):
        score([problem("f", 1)], {"f": [""], "g": [""]}, limits=LIMITS, workers=1)


# ------------------------------------------------------------------------------------------ whole benchmarks


@needs_benchmarks
@pytest.mark.usefixtures("sandbox_here")
@pytest.mark.parametrize("benchmark", [mbpp, single_line])
def test_some_canonical_solutions_pass(benchmark: Callable[[], list[Problem]]) -> None:
    assert [row for row in outcome(some(benchmark()), canonical) if not row.passed] == []


@needs_benchmarks
@pytest.mark.usefixtures("sandbox_here")
def test_some_empty_completions_fail() -> None:
    assert [row for row in outcome(some(mbpp()), empty) if row.passed] == []


@needs_benchmarks
@pytest.mark.usefixtures("sandbox_here")
@pytest.mark.slow
@pytest.mark.parametrize(("benchmark", "num_programs"), [(mbpp, 974), (single_line, 287)])
def test_every_canonical_solution_passes(benchmark: Callable[[], list[Problem]], num_programs: int) -> None:
    """The lines of a function are tasks of their own; with their canonical solutions most are one program."""
    programs = {(p.program(p.canonical), p.tests, tuple(p.entry_points)): p for p in benchmark()}
    assert len(programs) == num_programs
    assert [row for row in outcome(list(programs.values()), canonical) if not row.passed] == []


@needs_benchmarks
@pytest.mark.usefixtures("sandbox_here")
@pytest.mark.slow
def test_empty_mbpp_completions_fail() -> None:
    assert [row for row in outcome(mbpp()[::4], empty) if row.passed] == []


ORACLE = """
import json, signal, sys
def late(*_):
    raise TimeoutError
signal.signal(signal.SIGALRM, late)
passed = []
for task_id, source in json.load(sys.stdin):
    signal.setitimer(signal.ITIMER_REAL, 1.0)
    try:
        exec(source, {})
        passed.append(task_id)
    except BaseException:
        pass
    signal.setitimer(signal.ITIMER_REAL, 0)
sys.__stdout__.write(json.dumps(passed))
"""


@needs_benchmarks
@pytest.mark.usefixtures("sandbox_here")
@pytest.mark.slow
def test_empty_single_lines_pass_only_where_plain_execution_passes() -> None:
    """27 of the 1,033 lines are redundant (e.g. an early return): without them the tests still pass.

    Oracle: program and tests in one namespace, as the benchmark's own harness runs them.
    """
    problems = single_line()[::4]
    sources = [(p.task_id, f"{p.program('')}\n{p.tests}") for p in problems]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ORACLE], input=json.dumps(sources), capture_output=True, text=True
    )
    rows = outcome(problems, empty, limits=Sandbox(max_wall_s=2.0, max_cpu_s=2))
    passed = [row.task_id for row in rows if row.passed]
    assert passed == json.loads(done.stdout)
    assert 0 < len(passed) <= 27
