"""Shared fixtures: one small but complete run of the chain, made once a session by the real command."""

import contextlib
import fcntl
import io
import logging
import os
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import IO
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings

from minicode_assets.cli import main
from tests.forked import IMPORTED, run_command

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # two processes with two threads each slow each other tenfold

# The same examples in every run, however slow the machine is; `--hypothesis-profile search` looks for new ones.
settings.register_profile("fixed", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("search", max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fixed")

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT.parent / "shared" / "samples"

SMALL = """
[archive]
standard_library = false
distributions = ["packaging", "tenacity", "httpx", "universal-pathlib", "jinja2"]
max_python_bytes = 3_000_000

[partitions]
num_prefixes = 2

[documentation]
distributions = ["packaging", "tenacity", "httpx", "jinja2"]

[notebooks]
distributions = ["packaging"]

[commits]
enabled = false

[corpus]
validation_fraction = 0.1

[tokenizer]
vocab_size = 800
sample_bytes = 1_000_000

[token_shards]
seq_len = 128

[model]
vocab_size = 800
hidden_size = 32
intermediate_size = 64
num_hidden_layers = 2
num_attention_heads = 2
num_key_value_heads = 1
max_position_embeddings = 128

[checkpoint]
tensorboard = false
max_steps = 30
batch_size = 8
checkpoint_every_steps = 5
validate_every_steps = 15
log_every_steps = 5
validation_sequences = 8

[evaluation]
max_bytes = 6000
max_new_tokens = 16

[benchmark_scores]
max_problems = 2
num_samples = 1
max_new_tokens = 16
num_lines = 4
"""
"""Overrides that shrink the tiny preset to seconds; every stage still runs for real."""


@dataclass(frozen=True)
class Home:
    """One place to run commands in: its own data folder, dagster_home and overrides.

    Attributes:
        root: Holds data/, dagster_home/ and overrides.toml.
    """

    root: Path

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def untouched(self) -> Path:
        """A copy of a finished home from before any test opened its databases."""
        return self.root.with_name(f"{self.root.name}-untouched")

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "MINICODE_DATA": str(self.data),
            "MINICODE_CONFIG": str(self.root / "overrides.toml"),
            "MINICODE_PRESET": "tiny",
            "DAGSTER_HOME": str(self.root / "dagster_home"),
        }

    def configure(self, text: str) -> None:
        (self.root / "overrides.toml").write_text(text)

    def start(self, *command: str, log: IO[str] | None = None, start_new_session: bool = True) -> subprocess.Popen[str]:
        """Start a command; its output goes to `log`, else to pipes."""
        return subprocess.Popen(
            command, env=self.environment, cwd=ROOT, text=True, start_new_session=start_new_session,
            stdout=log or subprocess.PIPE, stderr=subprocess.STDOUT if log else subprocess.PIPE,
        )  # fmt: skip

    def run(self, *command: str, check: bool = True, env: Mapping[str, str] | None = None) -> "Done":
        done = subprocess.run(
            command, env=self.environment | dict(env or {}), cwd=ROOT, capture_output=True, text=True, check=False
        )
        if check:
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return Done(done.returncode, done.stdout, done.stderr)

    def fork(
        self, *command: str, stdout: Path, stderr: Path, env: Mapping[str, str] | None = None
    ) -> ForkServerProcess:
        """Start an installed command in a session of its own, from a process that has imported the libraries."""
        environment = self.environment | dict(env or {})
        child = IMPORTED.Process(target=run_command, args=(command, environment, (stdout, stderr)))
        child.start()
        return child

    def minicode(self, *arguments: str, check: bool = True, env: Mapping[str, str] | None = None) -> "Done":
        return self.installed("minicode", *arguments, check=check, env=env)

    def call(self, *arguments: str, check: bool = True, env: Mapping[str, str] | None = None) -> "Done":
        """`minicode` in this process: without the seconds that the first fork of a session takes."""
        out, err, logger = io.StringIO(), io.StringIO(), logging.getLogger("minicode")
        before = logger.handlers, logger.level, logger.propagate
        with (
            mock.patch.dict(os.environ, self.environment | dict(env or {})),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                status = main(arguments)
            finally:
                logger.handlers, logger.level, logger.propagate = before
        assert status == 0 or not check, f"{arguments}\n{err.getvalue()}"
        return Done(status, out.getvalue(), err.getvalue())

    def installed(self, *command: str, check: bool = True, env: Mapping[str, str] | None = None) -> "Done":
        """Run `minicode` or `dagster` to its end."""
        with tempfile.TemporaryDirectory() as folder:
            stdout, stderr = Path(folder, "stdout"), Path(folder, "stderr")
            child = self.fork(*command, stdout=stdout, stderr=stderr, env=env)
            child.join()
            assert child.exitcode is not None
            done = Done(child.exitcode, stdout.read_text(), stderr.read_text())
        if check:
            assert done.status == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done


@dataclass(frozen=True)
class Done:
    """A finished command."""

    status: int
    stdout: str
    stderr: str


def new_home(root: Path, text: str = SMALL) -> Home:
    """A home with a checked-in dagster.yaml and the small configuration."""
    (root / "dagster_home").mkdir(parents=True)
    (root / "dagster_home" / "dagster.yaml").write_text((ROOT / "dagster_home" / "dagster.yaml").read_text())
    home = Home(root)
    home.configure(text)
    return home


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What reads the finished home is slow; files with the most slow tests come first, so that workers end together.

    One of the first two files makes the finished home, so that only one worker waits for it.
    """
    for item in items:
        if "finished" in getattr(item, "fixturenames", ()):
            item.add_marker("slow")
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    readers = {item.path for item in items if "finished" in getattr(item, "fixturenames", ())}
    files = sorted({item.path for item in items}, key=lambda path: (-slow[path], path in readers, path))
    first = next(iter(path for path in files if path in readers), None)
    beside = next(iter(path for path in files if path not in readers), None)
    rank = {path: place for place, path in enumerate(sorted(files, key=lambda path: path not in (first, beside)))}
    items.sort(key=lambda item: rank[item.path])


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A fresh home of the small configuration; nothing has run in it."""
    return new_home(tmp_path / "home")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home in which `minicode materialize` has made everything. Read it; do not change it."""
    parallel = "PYTEST_XDIST_WORKER" in os.environ
    folder = tmp_path_factory.getbasetemp().parent if parallel else tmp_path_factory.mktemp("finished")
    with (folder / "finished.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the first worker makes it, the others wait
        if (folder / "finished.done").exists():
            return Home(folder / "home")
        home = new_home(folder / "home")
        home.minicode("materialize")
        shutil.copytree(home.root, home.untouched)
        (folder / "finished.done").touch()
    return home


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of shared sample exports and benchmarks."""
    if not SAMPLES.is_dir():
        pytest.skip(f"the sample exports are not beside this checkout ({SAMPLES.name}/)")
    return SAMPLES
