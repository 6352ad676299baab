"""Installed commands, each a process of its own without the seconds of its imports: forked from one that has them."""

import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path

ROOT = Path(__file__).parents[1]
IMPORTED = multiprocessing.get_context("forkserver")
"""Starts processes in which what most commands need is imported: that takes seconds, a fork milliseconds."""
IMPORTED.set_forkserver_preload(
    [
        *(f"minicode_assets.defs.{path.stem}" for path in sorted((ROOT / "minicode_assets" / "defs").glob("*.py"))),
        "tests.forked",
        "minicode_assets.cli",
        "minicode_model.training.run",
        "minicode_model.__main__",
        "minicode_model.evaluation.run",
        "dagster._cli",
        "dagster._core.storage.sqlite_storage",
        "pandas",  # imported by pyarrow, where it is installed
    ]
)


def run_command(command: Sequence[str], environment: Mapping[str, str], outputs: tuple[Path, Path]) -> None:
    """An installed command, e.g. `["minicode", "init"]`, in this process, which ends with its status."""
    (script,) = entry_points(group="console_scripts", name=command[0])
    _move_into(environment, outputs)
    sys.argv = list(command)
    sys.exit(script.load()())


def run_model_command(arguments: Sequence[str], environment: Mapping[str, str], outputs: tuple[Path, Path]) -> None:
    """`python -m minicode_model` with these arguments in this process, which ends with its status."""
    from minicode_model.__main__ import main

    _move_into(environment, outputs)
    sys.exit(main(arguments))


def _move_into(environment: Mapping[str, str], outputs: tuple[Path, Path]) -> None:
    """A session of its own, this environment and no other, output to files."""
    os.setsid()
    for path, stream in zip(outputs, (sys.stdout, sys.stderr), strict=True):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), stream.fileno())
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(ROOT)
