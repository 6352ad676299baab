"""How well a model fills a gap: the lines are the author's own, or at least the program passes its tests.

Sources: Bavarian et al. 2022 (executed pass on HumanEval infilling); Ben Allal et al. 2023, SantaCoder (exact match).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from minicode_model.config import Sandbox
from minicode_model.errors import BenchmarkError
from minicode_model.evaluation.pass_at_k import Scored, score
from minicode_model.evaluation.problems import Problem


@dataclass(frozen=True)
class Infilled:
    """One filled gap: the executed verdict, and whether the lines are the author's own (see exact_match)."""

    scored: Scored
    exact: bool


def exact_match(completion: str, canonical: str) -> bool:
    """Whether two texts have the same lines; whitespace at line ends and empty lines at the end don't count."""
    return _lines(completion) == _lines(canonical)


def exact_match_rate(completions: Sequence[str], canonicals: Sequence[str]) -> float:
    """The share of completions that match exactly, 0..1; also for held-out lines that nothing can execute.

    Raises:
        BenchmarkError: There are none, or the two differ in number.
    """
    if not completions or len(completions) != len(canonicals):
        raise BenchmarkError(f"exact match: found {len(completions)} completions, expected {len(canonicals)}, not 0")
    pairs = zip(completions, canonicals, strict=True)
    return sum(exact_match(*pair) for pair in pairs) / len(completions)


def score_infilling(
    problems: Sequence[Problem], completions: Mapping[str, Sequence[str]], *, limits: Sandbox, workers: int
) -> list[Infilled]:
    """Run and compare every completion of infilling problems.

    Args, order of rows and Raises: As pass_at_k.score.
    """
    canonical = {problem.task_id: problem.canonical for problem in problems}
    return [
        Infilled(row, exact_match(completions[row.task_id][row.sample], canonical[row.task_id]))
        for row in score(problems, completions, limits=limits, workers=workers)
    ]


def _lines(text: str) -> list[str]:
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines
