"""Verdicts on generated programs, which run where they can neither harm this machine nor reach their own tests.

Two processes a run. The program is executed by a fresh Python (no site, no environment) in namespaces of its own: no
network, no process or file of the outside, a small scratch folder in memory; as nobody, without privileges, under
resource limits and a system call filter. The tests run in another such process, which asks the first for values (plain
data) and compares them; tests, expected values and the run's nonce are never in the program's memory. Linux only.

What remains: a bug of the kernel behind a call that the filter allows; a program that knows the answers by heart;
reading this Python installation; using up the limits (max_processes times max_memory_bytes). Values cross as copies of
Python's own types: tests don't see that a program changed its arguments, a subclass arrives as its base, and an object
of the program's own classes equals itself alone and shows nothing of what is in it.
"""

import dataclasses
import json
import os
import secrets
import select
import subprocess
import sys
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from minicode_model.config import Sandbox
from minicode_model.errors import SandboxError

STATUSES = ("passed", "failed", "error", "crashed", "timeout", "output_limit")
"""What a verdict can be: tests passed; an assertion failed; another exception, in program or tests; the program's
process ended early; time is up (wall or processor); too much output."""
_PACKAGE_ROOT = Path(__file__).parents[2]
_START = "import sys; sys.path.insert(0, {root!r}); from minicode_model.evaluation.cell.launcher import main; del sys.path[0]; main({mode!r})"  # noqa: E501
_GRACE_S = 10.0
"""How much longer than the wall limit the launcher may be silent before it counts as broken. Unit: seconds."""
_HINT = "set allow_weaker_isolation = true in [sandbox] only for programs that you trust"


@dataclass(frozen=True)
class Verdict:
    """What became of one program.

    Attributes:
        passed: All tests passed.
        status: One of STATUSES.
        detail: One line: which exception, signal or limit; empty after success.
        output: What the program wrote (standard output and error), cut at the limit.
        seconds: Wall-clock time of the run.
    """

    passed: bool
    status: str
    detail: str
    output: str
    seconds: float


@dataclass(frozen=True)
class Isolation:
    """Which layers are in force around a program, and which are missing and why; complete where none is missing."""

    layers: tuple[str, ...]
    missing: tuple[str, ...]


class Cell:
    """A closed world that runs one program at a time; a context manager, usable from one thread at a time.

    Args:
        limits: What programs may use, and whether weaker isolation will do.

    Raises:
        SandboxError: This machine can't isolate programs fully and `limits` doesn't allow less, or the launcher
            doesn't pass a trivial program.
    """

    def __init__(self, limits: Sandbox) -> None:
        self.limits = limits
        self._process, self.isolation = _launch(limits)
        try:
            check = self.run("def one():\n    return 1\n", "assert one() == 1\n")
            if not check.passed:
                raise SandboxError(f"sandbox: a trivial program gives {check.status}: {check.detail} {check.output}")
        except BaseException:
            self.close()
            raise

    def run(self, program: str, tests: str, *, entry_points: Collection[str] = ()) -> Verdict:
        """Run tests against a program.

        Args:
            program: Python source, executed as a module.
            tests: Python source; names that it reads but doesn't bind are the program's.
            entry_points: Names that are the program's even though Python has a builtin of that name.

        Raises:
            SandboxError: The launcher itself broke.
        """
        nonce = secrets.token_hex(16)
        started = time.monotonic()
        limits = dataclasses.asdict(self.limits)
        job = {"program": program, "tests": tests, "entry_points": sorted(entry_points), "nonce": nonce}
        answer = self._ask({**job, "limits": limits})
        passed = answer["status"] == "passed" and secrets.compare_digest(answer["nonce"], nonce)
        status = answer["status"] if passed or answer["status"] != "passed" else "error"
        return Verdict(passed, status, _one_line(answer["detail"]), answer["output"], time.monotonic() - started)

    def _ask(self, job: dict[str, Any]) -> dict[str, Any]:
        try:
            _send(self._process, json.dumps(job).encode() + b"\n")
            answer: dict[str, Any] = json.loads(_line(self._process, self.limits.max_wall_s + _GRACE_S))
        except (OSError, ValueError) as error:
            self.close()
            raise SandboxError(f"sandbox: the launcher broke: {error}") from error
        return answer

    def close(self) -> None:
        """End the launcher and all that runs in it."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def run_program(program: str, tests: str, *, limits: Sandbox, entry_points: Collection[str] = ()) -> Verdict:
    """Run tests against one program in a world of its own; for many programs, keep a Cell open.

    Args and Raises: As Cell and Cell.run.
    """
    with Cell(limits) as cell:
        return cell.run(program, tests, entry_points=entry_points)


def _one_line(text: str) -> str:
    """The text on one line and writable as UTF-8: a program may raise errors with any text."""
    return " ".join(text.encode(errors="backslashreplace").decode().split())


def _launch(limits: Sandbox) -> tuple[subprocess.Popen[bytes], Isolation]:
    process, hello = _start("namespaces")
    missing = tuple(hello.get("missing", (f"namespaces ({hello.get('refused')})",)))
    if missing and not limits.allow_weaker_isolation:
        _stop(process)
        raise SandboxError(f"sandbox: this machine lacks {'; '.join(missing)}", hint=_HINT)
    if "refused" in hello:
        _stop(process)
        process, hello = _start("weaker")
        missing += tuple(hello.get("missing", ()))
    return process, Isolation(tuple(hello["layers"]), missing)


_starting = threading.Lock()
"""Launchers are started one by one, so that none inherits another's pipes between fork and exec."""


def _start(mode: str) -> tuple[subprocess.Popen[bytes], dict[str, Any]]:
    if sys.platform != "linux":
        raise SandboxError(f"sandbox: found {sys.platform}, expected Linux", hint="run the evaluation on Linux")
    python = os.path.realpath(sys.executable)
    code = _START.format(root=str(_PACKAGE_ROOT), mode=mode)
    with _starting:
        process = subprocess.Popen(
            [python, "-I", "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={}, cwd="/"
        )
    try:
        hello: dict[str, Any] = json.loads(_line(process, _GRACE_S))
    except (OSError, ValueError) as error:
        _stop(process)
        raise SandboxError(f"sandbox: the launcher did not start: {error}") from error
    return process, hello


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


def _send(process: subprocess.Popen[bytes], message: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(message)
    process.stdin.flush()


def _line(process: subprocess.Popen[bytes], timeout_s: float) -> bytes:
    """The launcher's next line. Raises OSError where it ends or is silent."""
    assert process.stdout is not None
    descriptor, parts = process.stdout.fileno(), bytearray()
    deadline = time.monotonic() + timeout_s
    while not parts.endswith(b"\n"):
        if not select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise TimeoutError(f"no answer within {timeout_s:g} s")
        part = os.read(descriptor, 1 << 16)
        if not part:
            raise ConnectionError("it ended")
        parts += part
    return bytes(parts)
