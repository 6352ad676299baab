"""Runs DeepMind's mathematics_dataset: a program for the environment that `make mathematics` makes.

The package is of 2019 and needs NumPy and SymPy of its time, which clash with ours; so this file imports neither
minicode nor what minicode imports, and writes JSON lines: the versions, then [module, document, [[question, answer],
...]]. Each module has a process and each document seeds of its own, so that a run can begin at any.
"""

import hashlib
import itertools
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from typing import Any

LEVELS = ("train-easy", "train-medium", "train-hard")
PACKAGES = ("mathematics_dataset", "sympy", "numpy")


def main() -> None:
    """Write the documents that the arguments ask for."""
    asked = json.loads(sys.argv[1])
    sys.stdout.write(json.dumps({name: metadata.version(name) for name in PACKAGES}) + "\n")
    modules = training_modules(LEVELS.index(asked["level"]))
    for name in sorted(modules):
        if not asked["modules"] or name in asked["modules"]:
            skipped = min(asked["start"], asked["documents_per_module"])
            asked["start"] -= skipped
            in_own_process(lambda name=name, skipped=skipped: write(name, modules[name], skipped, asked))  # type: ignore[misc]


def in_own_process(work: Callable[[], None]) -> None:
    """Do something in a copy of this process: what the package keeps in memory shapes what it makes next."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            sys.stdout.flush()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    if os.waitpid(child, 0)[1]:
        sys.exit(1)


def write(name: str, module: Callable[[], Any], skipped: int, asked: Mapping[str, Any]) -> None:
    """Write the documents of a module behind the first ones, which are made all the same."""
    for number in range(asked["documents_per_module"] if skipped < asked["documents_per_module"] else 0):
        seed_all(f"{asked['seed']}/{asked['level']}/{name}/{number}")
        pairs = [pair_of(module) for _ in range(asked["pairs_per_document"])]
        if number >= skipped:
            sys.stdout.write(json.dumps([name, number, pairs]) + "\n")


def training_modules(level: int) -> dict[str, Callable[[], Any]]:
    """The problem makers of a level by name, e.g. algebra__linear_1d."""
    import numpy

    numpy.asscalar = lambda array: array.item()  # type: ignore[attr-defined]  # gone since NumPy 1.23, SymPy 1.2 asks
    from mathematics_dataset.modules import modules
    from mathematics_dataset.util import composition

    composition.Entity.__hash__ = in_order_of_use

    def third(bounds: tuple[float, float]) -> tuple[float, float]:
        size = (bounds[1] - bounds[0]) / len(LEVELS)
        return bounds[0] + level * size, bounds[0] + (level + 1) * size

    return dict(flat(modules.train(third)))


def in_order_of_use(entity: Any) -> int:
    """A hash that is the same in each run: by address, as others have it, sets have another order each time."""
    return int(entity.__dict__.setdefault("_order", next(_ORDER)))


_ORDER = itertools.count()


def flat(modules: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Callable[[], Any]]]:
    """Nested modules by joined names."""
    for name, inner in modules.items():
        if callable(inner):
            yield prefix + name, inner
        else:
            yield from flat(inner, f"{prefix}{name}__")


def seed_all(key: str) -> None:
    """Seed both generators that the package uses."""
    import random

    import numpy

    number = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=4).digest(), "big")
    random.seed(number)
    numpy.random.seed(number)


def pair_of(module: Callable[[], Any]) -> tuple[str, str]:
    """A question and its answer, within the lengths of the published data set."""
    from mathematics_dataset import generate_settings as settings

    while True:
        problem = module()
        question, answer = str(problem.question), str(problem.answer)
        if len(question) <= settings.MAX_QUESTION_LENGTH and len(answer) <= settings.MAX_ANSWER_LENGTH:
            return question, answer


if __name__ == "__main__":
    main()
