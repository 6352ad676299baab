"""The sandbox against programs that attack it: one attack a test."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from minicode_model.config import Sandbox
from minicode_model.errors import SandboxError
from minicode_model.evaluation.sandbox import STATUSES, Cell, Verdict, run_program

pytestmark = pytest.mark.slow
"""A quarter of a minute of attacks."""

ROOT = Path(__file__).parents[2]
LIMITS = Sandbox(max_wall_s=1.5, max_cpu_s=1, max_memory_bytes=256 << 20, max_disk_bytes=1 << 20)
SEVEN = "assert seven() == 7\n"


@pytest.fixture(scope="module")
def cell() -> Iterator[Cell]:
    try:
        opened = Cell(LIMITS)
    except SandboxError as error:
        pytest.skip(str(error))
    with opened:
        yield opened


@pytest.fixture(autouse=True)
def still_works(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test did, the next honest program passes in the same cell."""
    yield
    if "cell" in request.fixturenames:
        shared: Cell = request.getfixturevalue("cell")
        assert shared.run("def seven():\n    return 7\n", SEVEN).passed


def reported(verdict: Verdict) -> str:
    """What the attack wrote about its own success."""
    assert verdict.status in STATUSES
    return verdict.output


# ------------------------------------------------------------------------------------------ honest programs


VALUES = [
    *("None", "True", "0", "-5", "2**200", "-(2**64)", "1.5", "float('inf')", "1e-310", "-0.0", "3+4j"),
    *("'a\\ud800\\n\"'", "b'\\x00\\xff'", "bytearray(b'x')", "range(1, 9, 2)", "[1, (2, [3]), {4}]"),
    *("__import__('decimal').Decimal('1.50')", "__import__('fractions').Fraction(-1, 3)"),
    *("__import__('collections').deque([1, [2]])", "{1: 2}.keys()", "{1: (2,)}.items()"),
    *("{1: 'a', (2,): [None]}", "frozenset({1})", "{'x': {'y': set()}}", "''", "[]", "()"),
]


@pytest.mark.parametrize("value", VALUES)
def test_values_cross_unchanged(cell: Cell, value: str) -> None:
    program = f"def echo(x):\n    assert repr(x) == repr({value})\n    return x\n"
    tests = f"x = echo({value})\nassert x == {value} and type(x) is type({value}) and repr(x) == repr({value})\n"
    assert cell.run(program, tests).detail == ""


def test_other_numbers_equal_pythons_own_and_views_are_read(cell: Cell) -> None:
    program = "from decimal import Decimal\ndef half():\n    return Decimal('0.5')\n"
    program += "def seven():\n    return {1: 7}.values()\n"
    assert cell.run(program, "assert half() == 0.5 and half() != 0.25 and list(seven()) == [7]\n").passed


@pytest.mark.parametrize(
    "value", ['"Fraction","1/0"', '"Decimal","x"', '"dict_items",[1]', '"dict_keys",[["list",[]]]']
)
def test_values_that_are_none_are_no_values(cell: Cell, value: str) -> None:
    program = f"import os\ndef seven():\n    text = b'[\"value\",[{value}]]'\n"
    program += "    os.write(4, len(text).to_bytes(4, 'big') + text)\n    return 7\n"
    assert cell.run(program, SEVEN).status == "crashed"


def test_nan_is_nan(cell: Cell) -> None:
    assert cell.run("def nan():\n    return float('nan')\n", "assert nan() != nan()\n").passed


@pytest.mark.parametrize(
    ("program", "status"),
    [
        ("def seven():\n    return 7\n", "passed"),
        ("import collections\ndef seven():\n    return collections.Counter('aaaaaaa')['a']\n", "passed"),
        ("def seven():\n    return 8\n", "failed"),
        ("def seven():\n    raise ValueError('no')\n", "error"),
        ("def eight():\n    return 8\n", "error"),
        ("def seven(:\n", "error"),
        ("", "error"),
        ("seven = 7\n", "error"),
        ("x = '\ud800'\n", "error"),
        ("x = '\0'\n", "error"),
        ("raise ValueError('\\ud800')\n", "error"),
    ],
)
def test_status(cell: Cell, program: str, status: str) -> None:
    assert cell.run(program, SEVEN).status == status


def test_report_is_one_line_of_valid_text(cell: Cell) -> None:
    verdict = cell.run("raise ValueError('a\\n\\ud800')\n", SEVEN)
    assert verdict.detail == "ValueError: a \\ud800"


def test_same_verdict_each_time(cell: Cell) -> None:
    program = "print(hash('a'), list({'a', 'b', 'c', 'd'}))\nimport os\nprint(dict(os.environ))\n"
    outputs = {cell.run(program, SEVEN).output for _ in range(3)}
    assert len(outputs) == 1
    assert "SEED" not in outputs.pop()


def test_tests_that_call_nothing_do_not_pass(cell: Cell) -> None:
    verdict = cell.run("def seven():\n    return 7\n", "def check(f):\n    assert f() == 7\n")
    assert (verdict.passed, verdict.detail) == (False, "the tests never call the program")


def test_objects_of_the_program_can_be_passed_back(cell: Cell) -> None:
    program = "class Pair:\n    def __init__(self, a, b):\n        self.a, self.b = a, b\ndef total(pairs):\n"
    program += "    return sum(p.a + p.b for p in pairs)\nroot = Pair(1, 2)\n"
    assert cell.run(program, "assert total([Pair(3, 4), root]) == 10\n").passed


def test_exceptions_keep_their_builtin_class(cell: Cell) -> None:
    tests = "try:\n    f()\nexcept KeyError:\n    pass\nelse:\n    raise AssertionError\n"
    assert cell.run("def f():\n    raise KeyError(1)\n", tests).passed
    assert not cell.run("def f():\n    raise IndexError(1)\n", tests).passed


# ------------------------------------------------------------------------------------------ using up resources


def test_infinite_loop(cell: Cell) -> None:
    verdict = cell.run("while True:\n    pass\n", SEVEN)
    assert verdict.status == "timeout"
    assert verdict.seconds < LIMITS.max_wall_s + 1


def test_sleep_for_ever(cell: Cell) -> None:
    verdict = cell.run("import time\ntime.sleep(1e6)\n", SEVEN)
    assert verdict.status == "timeout"
    assert verdict.seconds < LIMITS.max_wall_s + 1


def test_fork_bomb(cell: Cell) -> None:
    program = """
import os
made = 0
while made < 500:
    try:
        if os.fork() == 0:
            made = 0
        else:
            made += 1
    except OSError as error:
        os.write(1, b"refused %d\\n" % made)
        break
"""
    verdict = cell.run(program, SEVEN)
    assert not verdict.passed
    assert "refused" in verdict.output
    assert all(int(line.split()[1]) < LIMITS.max_processes for line in verdict.output.split("\n") if line)


def test_thread_bomb(cell: Cell) -> None:
    program = "import threading, time\nfor n in range(50):\n    print(n, flush=True)\n"
    program += "    threading.Thread(target=time.sleep, args=(99,), daemon=True).start()\n"
    verdict = cell.run(program, SEVEN)
    assert not verdict.passed
    assert "\n9\n" not in verdict.output


def test_memory_bomb(cell: Cell) -> None:
    verdict = cell.run("def seven():\n    x = [bytearray(1 << 20) for _ in range(1 << 12)]\n    return 7\n", SEVEN)
    assert (verdict.status, verdict.detail) == ("error", "MemoryError:")


def test_disk_fill(cell: Cell) -> None:
    program = """
import os
total = 0
try:
    for n in range(64):
        with open(f"f{n}", "wb", buffering=0) as file:
            for _ in range(16):
                total += file.write(bytes(1 << 16))
except OSError:
    pass
print(total)
"""
    assert 0 < int(cell.run(program, SEVEN).output) <= LIMITS.max_disk_bytes


def test_file_count_fill(cell: Cell) -> None:
    program = "n = 0\ntry:\n    while True:\n        open(f'f{n}', 'w').close()\n        n += 1\n"
    program += "except OSError:\n    print(n)\n"
    assert 0 < int(cell.run(program, SEVEN).output) < 5000


SHARED_MEMORY = """
import ctypes
libc = ctypes.CDLL(None)
libc.shmat.restype = ctypes.c_void_p
libc.shmat.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]
libc.shmdt.argtypes = [ctypes.c_void_p]
def megabytes():
    taken = 0
    while taken < 320 and (segment := libc.shmget(0, 32 << 20, 0o1600)) >= 0:
        place = libc.shmat(segment, None, 0)
        ctypes.memset(place, 1, 32 << 20)
        libc.shmdt(place)
        taken += 32
    return taken
"""


def test_shared_memory_is_no_way_around_the_memory_limit(cell: Cell) -> None:
    """A segment outlives its mapping, so a program could fill one after the other."""
    assert cell.run(SHARED_MEMORY, "assert megabytes() == 0, megabytes()\n").passed


def test_files_in_memory_are_no_way_around_it_either(cell: Cell) -> None:
    assert not cell.run("import os\ndef seven():\n    os.memfd_create('x')\n    return 7\n", SEVEN).passed


@pytest.mark.parametrize(
    "call", ["semget(0, 1, 0o1600)", "msgget(0, 0o1600)", "inotify_init1(0)", "vmsplice(1, None, 0, 0)"]
)
def test_objects_of_the_kernel_that_outlive_or_watch(cell: Cell, call: str) -> None:
    """Pages that vmsplice lends to a pipe stay in memory when the process has let go of them."""
    program = f"import ctypes\ndef f():\n    return ctypes.CDLL(None).{call}\n"
    assert cell.run(program, "assert f() == -1\n").passed


def test_answers_sent_ahead_are_but_values(cell: Cell) -> None:
    """The program answers fifty questions before they are asked; it still doesn't know what is expected."""
    program = """
import os
def framed(text):
    return len(text).to_bytes(4, "big") + text
ahead = [b'["value",null]', b'["value",["dict",[["seven",["callable",0]]]]]', *[b'["value",true]'] * 50]
os.write(4, b"".join(map(framed, ahead)))
def seven():
    return 8
"""
    assert cell.run(program, SEVEN).status == "failed"


def test_output_flood(cell: Cell) -> None:
    verdict = cell.run("import os\nwhile True:\n    os.write(1, b'x' * 65536)\n", SEVEN)
    assert verdict.status == "output_limit"
    assert len(verdict.output) == LIMITS.max_output_bytes


def test_output_in_the_end_cannot_undo_or_enlarge(cell: Cell) -> None:
    verdict = cell.run("def seven():\n    print('y' * 10**6)\n    return 7\n", SEVEN)
    assert not verdict.passed
    assert len(verdict.output) <= LIMITS.max_output_bytes


def test_stack_overflow_in_c(cell: Cell) -> None:
    program = "import ctypes\ndef seven():\n    ctypes.string_at(1)\n    return 7\n"
    verdict = cell.run(program, SEVEN)
    assert verdict.status == "crashed"
    assert "SIGSEGV" in verdict.detail


def test_recursion_without_end(cell: Cell) -> None:
    program = "import sys\nsys.setrecursionlimit(10**9)\nclass C:\n    def __repr__(self):\n        return repr(self)\n"
    verdict = cell.run(program + "def seven():\n    repr(C())\n    return 7\n", SEVEN)
    assert verdict.status in ("crashed", "error", "timeout")


def test_huge_reply(cell: Cell) -> None:
    assert cell.run("def seven():\n    return 'x' * (20 << 20)\n", SEVEN).status == "crashed"


def test_timers_are_few(cell: Cell) -> None:
    """Each takes memory of the kernel, and a user may have as many as pending signals."""
    program = "import ctypes\nlibc = ctypes.CDLL(None)\ndef made():\n    n = 0\n"
    program += "    while n < 1000 and libc.syscall(222, 0, None, ctypes.byref(ctypes.c_int())) == 0:\n        n += 1\n"
    assert cell.run(program + "    return n\n", "assert 0 < made() <= 64\n").passed


def test_hard_limits_stay(cell: Cell) -> None:
    program = """
import os, resource
def raised():
    kinds = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]
    for kind in kinds:
        for target in (0, 1, os.getpid()):
            try:
                soft, hard = resource.prlimit(target, kind)
                if hard != resource.RLIM_INFINITY:
                    resource.prlimit(target, kind, (hard + 1, hard + 1))
                    return kind
            except (ValueError, OSError):
                pass
    return os.sched_getscheduler(0)
"""
    assert cell.run(program, "assert raised() == 0\n").passed


def test_files_with_holes_and_names_with_values(cell: Cell) -> None:
    program = """
import os
def largest():
    with open("hole", "wb") as file:
        for act in (lambda: file.truncate(1 << 40), lambda: os.posix_fallocate(file.fileno(), 0, 1 << 40)):
            try:
                act()
                return "made"
            except OSError:
                pass
    total = 0
    try:
        for number in range(10**5):
            os.setxattr("hole", f"user.{number}", bytes(60_000))
            total += 60_000
    except OSError:
        return total
"""
    assert cell.run(program, f"assert largest() <= {16 * LIMITS.max_disk_bytes}\n").passed


def test_deeply_nested_reply(cell: Cell) -> None:
    program = "def seven():\n    import os\n    text = b'[\"value\",' + b'[' * 10**6\n"
    program += "    os.write(4, len(text).to_bytes(4, 'big') + text)\n    os._exit(0)\n"
    assert cell.run(program, SEVEN).status in ("crashed", "error")


# ------------------------------------------------------------------------------------------ reaching outside


def test_network(cell: Cell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.3)
        port = server.getsockname()[1]
        program = f"import socket\nsocket.create_connection(('127.0.0.1', {port}), timeout=1)\nprint('connected')\n"
        verdict = cell.run(program, SEVEN)
        assert "connected" not in reported(verdict)
        assert verdict.status == "error"
        with pytest.raises(TimeoutError):
            server.accept()


def test_network_namespace_alone_suffices() -> None:
    """The same without the system call filter: two layers, each of which holds."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.3)
        code = f"""
import sys, socket
sys.path.insert(0, {str(ROOT)!r})
from minicode_model.evaluation.cell import isolation
try:
    isolation.enter_namespaces()
except OSError as error:
    print("skip", error)
    raise SystemExit
try:
    socket.create_connection(("127.0.0.1", {server.getsockname()[1]}), timeout=1)
except OSError as error:
    print("refused", error.errno)
"""
        python = os.path.realpath(sys.executable)
        done = subprocess.run([python, "-I", "-S", "-c", code], capture_output=True, text=True, timeout=20)
        if done.stdout.startswith("skip"):
            pytest.skip(done.stdout)
        assert done.stdout == "refused 101\n", done.stderr  # ENETUNREACH: not even loopback is up
        with pytest.raises(TimeoutError):
            server.accept()


def test_reading_a_secret_file(cell: Cell, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the secret")
    for path in (secret, Path(__file__), Path("/etc/passwd"), Path("/proc/self/environ"), Path("/dev/sda")):
        verdict = cell.run(f"print(open({str(path)!r}).read())\n", SEVEN)
        assert verdict.output == ""
        assert "FileNotFoundError" in verdict.detail


def test_the_root_holds_python_and_nothing_else(cell: Cell) -> None:
    verdict = cell.run("import os\nprint(sorted(os.listdir('/')), os.listdir('.'), os.environ, os.getpid())\n", SEVEN)
    found = verdict.output
    for folder in ("home", "proc", "sys", "dev", "var", "run", "work"):
        assert f"'{folder}'" not in found
    assert "[] environ({" in found
    assert "PATH" not in found


def test_installed_packages_are_not_shown(cell: Cell) -> None:
    """A benchmark that is installed beside Python would bring its own answers."""
    beside = Path(os.path.realpath(sys.executable)).parents[1]
    folders = [str(folder) for folder in beside.glob("lib/python3*/*-packages")]
    verdict = cell.run(f"import os\nfor folder in {folders!r}: print(os.listdir(folder))\n", SEVEN)
    assert verdict.output == "[]\n" * len(folders)


def test_calls_that_are_newer_than_the_filter_or_use_up_the_machine(cell: Cell) -> None:
    program = """
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
for number in (206, 425, 451, 457, 467, 1000):
    print(libc.syscall(number, 0, 0, 0, 0), errno.errorcode[ctypes.get_errno()])
"""
    assert cell.run(program, SEVEN).output == "-1 EPERM\n" * 2 + "-1 ENOSYS\n" * 4


def test_writing_outside(cell: Cell, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    targets = [
        tmp_path / "new",
        Path(os.__file__).parent / "minicode_attack.py",
        Path("/attack"),
        Path("/tmp/../attack"),
    ]
    for target in targets:
        verdict = cell.run(f"open({str(target)!r}, 'w').write('x')\nprint('written')\n", SEVEN)
        assert verdict.output == ""
        assert not target.exists()


def test_scratch_folder_is_new_each_time(cell: Cell) -> None:
    write = "open('/tmp/left', 'w').write('x')\nimport os\nprint(os.listdir('/tmp'))\n"
    assert cell.run(write, SEVEN).output == "['left']\n"
    assert cell.run("import os\nprint(os.listdir('/tmp'), os.getcwd())\n", SEVEN).output == "[] /tmp\n"
    assert not Path("/tmp/left").exists()


def test_symbolic_links_in_the_scratch_folder(cell: Cell, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    (tmp_path / "kept").write_text("kept")
    program = f"""
import os
os.symlink({str(tmp_path)!r}, "link")
os.symlink("/", "root")
os.mkdir("closed"); os.chmod("closed", 0)
try:
    print(os.listdir("link"))
except OSError:
    print("nothing there")
os.chdir("/")
try:
    os.rename("/tmp", "/elsewhere")
except OSError:
    print("stays")
"""
    assert cell.run(program, SEVEN).output == "nothing there\nstays\n"
    assert (tmp_path / "kept").read_text() == "kept"


def test_killing_everything(cell: Cell) -> None:
    me, launcher = os.getpid(), cell._process.pid
    program = f"""
import os, signal
for target in ({me}, {launcher}, os.getppid(), 2, 3, 4, -1):
    try:
        os.kill(target, signal.SIGKILL)
        print("killed", target)
    except OSError:
        pass
"""
    verdict = cell.run(program, SEVEN)
    assert not verdict.passed
    assert "killed" not in verdict.output.replace("killed -1", "").replace("killed 0", "")
    assert cell._process.poll() is None


def test_ptrace_and_memory_of_others(cell: Cell) -> None:
    program = f"""
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
for target in ({os.getpid()}, {cell._process.pid}, os.getppid(), 1):
    for request in (16, 0x4206):
        if libc.ptrace(request, target, 0, 0) != -1 or ctypes.get_errno() != 1:
            print("traced", target)
    buffer = ctypes.create_string_buffer(16)
    if libc.process_vm_readv(target, buffer, 1, buffer, 1, 0) != -1:
        print("read", target)
    if os.path.exists(f"/proc/{{target}}/mem"):
        print("proc", target)
print("tried")
"""
    assert cell.run(program, SEVEN).output == "tried\n"


def test_new_namespaces_and_privileges(cell: Cell) -> None:
    program = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
print(os.getuid() != 0, libc.unshare(0x10000000), libc.mount(b"x", b"/tmp", b"tmpfs", 0, None), libc.chroot(b"/tmp"))
print(libc.syscall(56, 0x10000011, 0, 0, 0, 0), libc.syscall(435, 0, 0), libc.prctl(39, 0, 0, 0, 0))
try:
    os.setuid(0)
except OSError:
    print("not root")
"""
    assert cell.run(program, SEVEN).output == "True -1 -1 -1\n-1 -1 1\nnot root\n"


def test_daemon_does_not_outlive(cell: Cell, tmp_path: Path) -> None:
    marker = f"minicode-daemon-{os.getpid()}-{time.monotonic_ns()}"
    program = f"""
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", "import time; time.sleep(60)", "{marker}"])
    os._exit(0)
time.sleep(0.3)
def seven():
    return 7
"""
    seen: list[bool] = []
    watcher = threading.Thread(target=lambda: seen.extend(running(marker) for _ in range(40) if not time.sleep(0.02)))
    watcher.start()
    assert cell.run(program, SEVEN).passed
    watcher.join()
    assert any(seen), "the daemon never ran, so the test shows nothing"
    assert not running(marker)


def running(marker: str) -> bool:
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and marker.encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                return True
        except OSError:
            continue
    return False


def test_launcher_ends_with_its_controller(tmp_path: Path) -> None:
    code = f"""
import sys, os
sys.path.insert(0, {str(ROOT)!r})
from minicode_model.config import Sandbox
from minicode_model.evaluation.sandbox import Cell
cell = Cell(Sandbox(max_wall_s=60.0))
print(cell._process.pid, flush=True)
cell.run("import time; time.sleep(60)", "f()")
"""
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    launcher = child.stdout.readline().strip()
    if not launcher:
        pytest.skip("no sandbox on this machine")
    time.sleep(0.3)
    child.kill()
    child.wait()
    deadline = time.monotonic() + 5
    while Path(f"/proc/{launcher}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{launcher}").exists()


# ------------------------------------------------------------------------------------------ tampering with the test


TAMPERING = {
    "sys_exit": "import sys\nsys.exit(0)\n",
    "sys_exit_in_call": "import sys\ndef seven():\n    sys.exit(0)\n",
    "os_exit": "import os\nos._exit(0)\n",
    "os_exit_in_call": "import os\ndef seven():\n    os._exit(0)\n",
    "atexit": "import atexit, os\natexit.register(os._exit, 0)\ndef seven():\n    raise SystemExit(0)\n",
    "equal_to_all": "class E(int):\n    def __eq__(self, other):\n        return True\ndef seven():\n    return E(8)\n",
    "equal_object": "class E:\n    def __eq__(self, other):\n        return True\ndef seven():\n    return E()\n",
    "assertion_error": "import builtins\nbuiltins.AssertionError = None\ndef seven():\n    return 8\n",
    "builtins": "import builtins\nfor n in ('all', 'len', 'abs', 'isinstance'):\n"
    "    setattr(builtins, n, lambda *a: True)\ndef seven():\n    return 8\n",
    "assertion_error_from_call": "def seven():\n    raise AssertionError\n",
    "stop_iteration": "def seven():\n    raise StopIteration\n",
    "frames": "import sys\nf = sys._getframe()\nwhile f:\n    f.f_globals.update(nonce='', passed=True, SEVEN='')\n"
    "    f = f.f_back\ndef seven():\n    return 8\n",
    "garbage": "import os\ndef seven():\n    os.write(4, b'\\xff' * 4096)\n    return 7\n",
    "forged_verdict": "import os\nfor d in range(64):\n    try:\n"
    '        os.write(d, b\'["passed", "", ""]\')\n    except OSError:\n        pass\n',
    "generator_exit": "def seven():\n    raise GeneratorExit\n",
    "closed_pipes": "import os\nos.closerange(0, 256)\ndef seven():\n    return 8\n",
    "replaced_pipe": "import os\nos.dup2(os.pipe()[1], 4)\ndef seven():\n    return 7\n",
    # the flood holds wrong answers: a right one that came in time would be right
    "answers_all_the_time": "import os, threading\ndef late():\n    while True:\n"
    "        os.write(4, (11).to_bytes(4, 'big') + b'[\"value\",8]')\n"
    "threading.Thread(target=late, daemon=True).start()\ndef seven():\n    return 8\n",
    "fraction_of_a_gigabyte": 'import os\ndef seven():\n    message = b\'["value",["Fraction","1e999999999"]]\'\n'
    "    os.write(4, len(message).to_bytes(4, 'big') + message)\n    return 7\n",
    "patched_protocol": "import gc\nfor o in gc.get_objects():\n    if type(o).__name__ == 'Answers':\n"
    "        o.call = lambda *a: 'true'\ndef seven():\n    return 8\n",
    "int_that_lies": "class I(int):\n    def __eq__(self, other):\n        return True\n    def __repr__(self):\n"
    "        return '7'\n    __str__ = __repr__\n    def __abs__(self):\n        return 7\n"
    "def seven():\n    return I(8)\n",
    "eval_replaced": "import builtins\nbuiltins.eval = lambda *a: ('look_up', ['seven'])\ndef seven():\n    return 8\n",
    "recursive_value": "def seven():\n    x = []\n    x.append(x)\n    return x\n",
    "name_of_a_test": "def check():\n    return True\nassert_equal = check\ndef seven():\n    return 8\n",
}


@pytest.mark.parametrize("program", TAMPERING.values(), ids=TAMPERING.keys())
def test_tampering(cell: Cell, program: str) -> None:
    verdict = cell.run(program, SEVEN)
    assert not verdict.passed
    assert verdict.status != "timeout"


def test_stop_iteration_does_not_cut_a_test_short(cell: Cell) -> None:
    program = "def square(x):\n    raise StopIteration\n"
    assert not cell.run(program, "assert all(map(square, [1, 2]))\nassert list(map(square, [2])) == []\n").passed


def test_tests_cannot_swallow_an_exit(cell: Cell) -> None:
    tests = "try:\n    seven()\nexcept Exception:\n    pass\n"
    assert not cell.run("import os\ndef seven():\n    os._exit(0)\n", tests).passed
    assert not cell.run("def seven():\n    raise SystemExit\n", tests).passed


def test_program_cannot_replace_the_tests_builtins(cell: Cell) -> None:
    program = "def all(x):\n    return True\ndef seven():\n    return 8\n"
    assert not cell.run(program, "assert all([seven() == 7])\n").passed
    named = cell.run("def sum(a, b):\n    return a + b\n", "assert sum(3, 4) == 7\n", entry_points=["sum"])
    assert named.passed


def test_the_program_finds_neither_tests_nor_nonce_in_its_memory(cell: Cell) -> None:
    program = """
import gc, os
def seven():
    texts = [o for o in gc.get_objects() if isinstance(o, (str, bytes))]
    for o in gc.get_objects():
        for r in gc.get_referents(o):
            if isinstance(r, str):
                texts.append(r)
    print([t for t in texts if any("".join(w) in t for w in (("sever", "ance"), ("non", "ce")))])
    return 7
"""
    verdict = cell.run(program, 'assert seven() == 7, "severance"\n')
    assert verdict.passed
    assert verdict.output == "[]\n"


# ------------------------------------------------------------------------------------------ where isolation is missing


def as_another_user(code: str, *, namespaces: bool) -> str:
    """Run code as an unprivileged user; without namespaces, the kernel really refuses new ones (at most 0 allowed)."""
    script = "" if namespaces else "echo 0 > /proc/sys/user/max_user_namespaces && "
    command = ["unshare", "--user", "--map-user=1000", "--map-group=1000", *([] if namespaces else ["--keep-caps"])]
    code = f"""
import sys, os
sys.path.insert(0, {str(ROOT)!r})
from minicode_model.config import Sandbox
from minicode_model.errors import SandboxError
from minicode_model.evaluation.sandbox import Cell
assert os.geteuid() == 1000
{code}
"""
    python = os.path.realpath(sys.executable)
    shell = ["sh", "-c", f'{script}exec "$@"', "sh", python, "-c", code]
    done = subprocess.run([*command, *shell], capture_output=True, text=True, timeout=60)
    if "unshare:" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_refuses_without_namespaces() -> None:
    code = """
try:
    Cell(Sandbox())
except SandboxError as error:
    print(error)
"""
    refusal = as_another_user(code, namespaces=False)
    assert refusal.startswith("sandbox: this machine lacks namespaces (unshare(")
    assert "hint: set allow_weaker_isolation" in refusal


def test_full_isolation_without_being_root() -> None:
    code = """
with Cell(Sandbox()) as cell:
    print(cell.isolation.missing)
    program = "import os\\nprint(os.listdir('/tmp'), os.getpid())\\ndef f():\\n    return 1\\n"
    print(cell.run(program, "assert f() == 1"))
"""
    out = as_another_user(code, namespaces=True)
    assert out.startswith("()\nVerdict(passed=True, status='passed', detail='', output='[] 1\\n'")


WEAKER = """
import glob, time
limits = Sandbox(allow_weaker_isolation=True, max_wall_s=1.0)
with Cell(limits) as cell:
    print(cell.isolation.missing[0][:18], cell.isolation.layers)
    for program in (
        "def seven():\\n    return 7",
        "def seven():\\n    return 8",
        "import sys; sys.exit(0)",
        "while True:\\n    pass",
        "import socket; socket.socket()",
        "import os\\nos.mkdir('closed'); os.symlink('/', 'closed/root'); os.chmod('closed', 0)",
        "import os, time\\nif os.fork() == 0:\\n    os.setsid()\\n    if os.fork() == 0:\\n"
        "        while True:\\n            time.sleep(1)\\n    os._exit(0)\\n"
        "time.sleep(.3)\\ndef seven():\\n    return 7",
    ):
        print(cell.run(program, "assert seven() == 7").status)
    children = open(f"/proc/{cell._process.pid}/task/{cell._process.pid}/children").read().split()
    print(children, glob.glob("/tmp/minicode-program-*"))
"""


def test_weaker_isolation_by_explicit_option_only() -> None:
    lines = as_another_user(WEAKER, namespaces=False).splitlines()
    assert lines[0] == "namespaces (unshar ('system call filter', 'no privileges', 'resource limits')"
    assert lines[1:8] == ["passed", "failed", "error", "timeout", "error", "error", "passed"]
    assert lines[8] == "[] []"  # the daemon and the scratch folders are gone


def test_one_program_in_a_fresh_world() -> None:
    try:
        verdict = run_program("def seven():\n    return 7\n", SEVEN, limits=LIMITS)
    except SandboxError as error:
        pytest.skip(str(error))
    assert verdict.passed


def test_broken_launcher_is_an_error_not_a_verdict() -> None:
    try:
        cell = Cell(LIMITS)
    except SandboxError as error:
        pytest.skip(str(error))
    cell._process.kill()
    cell._process.wait()
    with pytest.raises(SandboxError, match="launcher broke"):
        cell.run("def seven():\n    return 7\n", SEVEN)
