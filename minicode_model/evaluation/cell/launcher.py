"""The launcher: a small process inside the closed world that starts a tester and a program for each job.

One job is one line of JSON on standard input, one verdict one line on standard output. The program's process has
descriptors to the tester and for its output, nothing else; the tester's word is the verdict. After each job both, and
all that they started, are dead. Started by minicode_model.evaluation.sandbox; standard library only.
"""

import contextlib
import fcntl
import json
import marshal
import os
import random
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import util
from pathlib import Path
from typing import Any, NoReturn

from minicode_model.evaluation.cell import isolation, syscalls, tester

_CONTROLLER_GONE = -1
_MEGABYTE = 1 << 20


class World:
    """Where jobs run: closed by namespaces, or (weaker) merely with limits and without privileges."""

    def __init__(self, *, namespaces: bool) -> None:
        self.namespaces = namespaces
        self.filter = syscalls.filter_available()
        spec = util.find_spec("minicode_model.evaluation.cell.program")
        assert spec is not None
        assert spec.origin is not None
        code = compile(Path(spec.origin).read_text(), "sandbox", "exec")
        self.program = f"import marshal; exec(marshal.loads(bytes.fromhex({marshal.dumps(code).hex()!r})))"
        self.python = os.path.realpath(sys.executable)
        self.pid_namespace = -1

    def enter(self) -> None:
        """Close the world around this process; with namespaces, what goes on is a child, the first of its kind."""
        if not self.namespaces:
            syscalls.adopt_orphans()
            syscalls.set_dumpable(False)
            return
        proc = isolation.enter_namespaces()
        child = os.fork()
        if child:
            os.close(proc)
            os.close(0)  # the child alone sees when the controller is gone
            os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) & 0xFF)
        syscalls.die_with_parent(signal.SIGKILL)
        self.pid_namespace = os.open("self/ns/pid", os.O_RDONLY, dir_fd=proc)
        os.close(proc)

    def layers(self) -> list[str]:
        """What is in force, in words."""
        closed = ["user, mount, PID, network, IPC, UTS and cgroup namespaces", "read-only root with Python alone"]
        filtered = ["system call filter"] if self.filter else []
        return [*(closed if self.namespaces else []), *filtered, "no privileges", "resource limits"]

    def spawn(self, main: Callable[[], None]) -> int:
        """Fork a child that runs `main` and ends; it is the first process of a PID namespace of its own."""
        if self.namespaces:
            syscalls.unshare(syscalls.CLONE_NEWPID)
        child = os.fork()
        if child == 0:
            _run_and_exit(main)
        if self.namespaces:
            syscalls.setns(self.pid_namespace, syscalls.CLONE_NEWPID)
        return child

    def end(self, children: tuple[int, ...]) -> dict[int, tuple[int, resource.struct_rusage]]:
        """Kill the children and everything that they started; give each one's wait status and use of resources."""
        ended = {}
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)  # in its namespace it is the first process: the others die with it
            _, status, usage = os.wait4(child, 0)
            ended[child] = status, usage
        if not self.namespaces:
            _kill_adopted()
        return ended


def _run_and_exit(main: Callable[[], None]) -> NoReturn:
    try:
        main()
    except BaseException as error:
        os.write(2, f"launcher: {type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(127)


def _kill_adopted() -> None:
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    while orphans := children.read_text().split():
        for orphan in orphans:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(orphan), signal.SIGKILL)
        os.waitpid(-1, 0)


class Job:
    """One program and its tests, with the pipes between the two processes and the launcher."""

    def __init__(self, world: World, request: dict[str, Any]) -> None:
        self.world, self.request, self.limits = world, request, request["limits"]
        self.scratch = ""
        self.requests, self.replies, self.output, self.verdict = os.pipe(), os.pipe(), os.pipe(), os.pipe()

    def run(self) -> dict[str, Any]:
        """Start both processes, watch them, end them, and report.

        Returns:
            `status`, `detail`, `nonce` (the job's own after success, else empty), `output`.
        """
        if not self.world.namespaces:
            self.scratch = tempfile.mkdtemp(prefix="minicode-program-")
            if os.geteuid() == 0:
                os.chown(self.scratch, isolation.NOBODY, isolation.NOBODY)
        program = self.world.spawn(self.become_program)
        judge = self.world.spawn(self.become_tester)
        for descriptor in (*self.requests, *self.replies, self.output[1], self.verdict[1]):
            os.close(descriptor)
        watched = Watch(self.output[0], self.verdict[0], self.limits)
        try:
            status, detail = watched.until_verdict()
        finally:
            ended = self.world.end((program, judge))
        watched.drain()
        for descriptor in (self.output[0], self.verdict[0]):
            os.close(descriptor)
        if self.scratch:
            _remove(self.scratch)
        if status in ("crashed", "silent"):
            status, detail = self._explain(status, detail, ended[program if status == "crashed" else judge])
        nonce = watched.nonce if status == "passed" else ""
        return {"status": status, "detail": detail, "nonce": nonce, "output": watched.text()}

    def _explain(self, status: str, detail: str, ended: tuple[int, resource.struct_rusage]) -> tuple[str, str]:
        code, usage = os.waitstatus_to_exitcode(ended[0]), ended[1]
        if code == -signal.SIGXCPU or usage.ru_utime + usage.ru_stime >= self.limits["max_cpu_s"]:
            return "timeout", f"{self.limits['max_cpu_s']} s of processor time are used up"
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        return ("crashed", f"{detail} ({how})") if status == "crashed" else ("error", f"the tester ended ({how})")

    def become_program(self) -> None:
        """Turn this child into the program's process: a fresh Python that can reach nothing.

        As `python -I -S` in an empty environment, but with a fixed hash seed, so that the order of sets and thus the
        verdict is the same each time. Unbuffered: the process is killed after its last answer, its prints are kept.
        """
        _place({0: _empty(), 1: self.output[1], 2: self.output[1], 3: self.requests[0], 4: self.replies[1]})
        if self.world.namespaces:
            isolation.enter_scratch(self.limits["max_disk_bytes"])
        else:
            os.chdir(self.scratch)
        self._close_in(max_file_bytes=self.limits["max_disk_bytes"])
        python = self.world.python
        command = [python, "-P", "-s", "-S", "-B", "-u", "-X", "utf8", "-c", self.world.program]
        os.execve(python, command, {"PYTHONHASHSEED": "0"})  # noqa: S606

    def become_tester(self) -> None:
        """Turn this child into the judge; it alone knows the nonce, and writes it after success."""
        _place({0: _empty(), 1: self.output[1], 2: self.output[1], 3: self.requests[1], 4: self.replies[0],
                5: self.verdict[1]})  # fmt: skip
        os.closerange(6, 1024)
        self._close_in(max_file_bytes=0)
        syscalls.set_dumpable(False)
        random.seed(0)  # tests that draw arguments draw the same ones each time
        remote = tester.Remote(3, 4, self.limits["max_reply_bytes"])
        request = self.request
        status, detail = tester.judge(remote, request["program"], request["tests"], request["entry_points"])
        nonce = request["nonce"] if status == "passed" else ""
        os.write(5, json.dumps([status, detail, nonce]).encode())
        os._exit(0)

    def _close_in(self, *, max_file_bytes: int) -> None:
        limits = self.limits
        if not self.world.namespaces and os.geteuid() == 0:
            isolation.drop_to_nobody()
        outside = 3 if self.world.namespaces else 0  # both launcher processes and the other one of the pair
        isolation.set_limits(
            {
                "RLIMIT_CPU": limits["max_cpu_s"],
                "RLIMIT_AS": limits["max_memory_bytes"],
                "RLIMIT_FSIZE": max_file_bytes,
                "RLIMIT_NOFILE": limits["max_open_files"],
                "RLIMIT_NPROC": outside + limits["max_processes"],
                "RLIMIT_STACK": 8 * _MEGABYTE,  # Linux's usual size, whatever the caller's is
                "RLIMIT_SIGPENDING": 64,
                **dict.fromkeys(
                    ("RLIMIT_CORE", "RLIMIT_MEMLOCK", "RLIMIT_MSGQUEUE", "RLIMIT_NICE", "RLIMIT_RTPRIO"), 0
                ),
            }
        )
        isolation.lock_down(system_call_filter=self.world.filter)
        syscalls.die_with_parent(signal.SIGKILL)


class Watch:
    """What the launcher hears while a job runs: output up to a limit, the verdict, the clock."""

    def __init__(self, output: int, verdict: int, limits: dict[str, Any]) -> None:
        self.output, self.verdict, self.limits = output, verdict, limits
        self.heard = {output: bytearray(), verdict: bytearray()}
        self.nonce = ""

    def until_verdict(self) -> tuple[str, str]:
        """Wait for the end of the job: (status, detail); `silent` where the tester ended without a word."""
        poller = select.poll()
        for descriptor in (self.output, self.verdict):
            poller.register(descriptor, select.POLLIN)
        poller.register(0, 0)  # hang-up is always reported
        deadline = time.monotonic() + self.limits["max_wall_s"]
        while (left := deadline - time.monotonic()) > 0:
            for descriptor, _ in poller.poll(left * 1000):
                if descriptor == 0:
                    os._exit(1)  # the controller is gone: everything in this world ends with its first process
                part = os.read(descriptor, _MEGABYTE)
                self.heard[descriptor] += part
                if not part and descriptor == self.verdict:
                    return self._verdict()
                if not part:
                    poller.unregister(descriptor)
            if len(self.heard[self.output]) > self.limits["max_output_bytes"]:
                return "output_limit", f"more than {self.limits['max_output_bytes']} bytes of output"
        return "timeout", f"no verdict within {self.limits['max_wall_s']} s"

    def _verdict(self) -> tuple[str, str]:
        if not self.heard[self.verdict]:
            return "silent", ""
        status, detail, self.nonce = json.loads(self.heard[self.verdict])
        return status, detail

    def drain(self) -> None:
        """Read what is left of the output, up to the limit; every writer is dead."""
        while len(self.heard[self.output]) <= self.limits["max_output_bytes"]:
            if not (part := os.read(self.output, _MEGABYTE)):
                return
            self.heard[self.output] += part

    def text(self) -> str:
        """The output, cut at the limit."""
        return bytes(self.heard[self.output][: self.limits["max_output_bytes"]]).decode(errors="replace")


def _empty() -> int:
    reader, writer = os.pipe()
    os.close(writer)
    return reader


def _place(wanted: dict[int, int]) -> None:
    """Make the descriptors of this process those wanted, number for number, and let exec keep them."""
    moved = {number: fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 64) for number, descriptor in wanted.items()}
    for number, descriptor in moved.items():
        os.dup2(descriptor, number, inheritable=True)


def _remove(folder: str) -> None:
    """Delete a folder, also what its owner made unreadable; symbolic links in it are deleted, never followed."""
    for parent, folders, _ in os.walk(folder, topdown=True):
        Path(parent).chmod(0o700)
        for name in folders:
            if not (path := Path(parent, name)).is_symlink():
                path.chmod(0o700)
    shutil.rmtree(folder)


def main(mode: str) -> None:
    """Enter the world, say hello, then do jobs until standard input ends. `mode` is `namespaces` or `weaker`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the controller decides when to stop
    world = World(namespaces=mode == "namespaces")
    try:
        world.enter()
    except OSError as error:
        _say({"refused": error.strerror if error.filename is None else str(error)})
        return
    _say({"layers": world.layers(), "missing": [] if world.filter else ["system call filter (x86_64 only)"]})
    with os.fdopen(0, "rb", closefd=False) as jobs:
        for line in jobs:
            _say(Job(world, json.loads(line)).run())


def _say(message: dict[str, Any]) -> None:
    text = json.dumps(message).encode() + b"\n"
    while text:
        text = text[os.write(1, text) :]
