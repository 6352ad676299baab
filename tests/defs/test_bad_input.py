"""What a person meets when something is wrong: an error that names the file and what to type next, then a way on."""

import gzip
import multiprocessing
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from sqlalchemy.exc import OperationalError

from minicode_assets.defs.instance import ready_instance
from minicode_assets.errors import StorageError
from minicode_assets.layout import partition_keys
from tests.conftest import ROOT, SMALL, Home
from tests.defs.test_chain import copy_of, folders


def test_data_folder_is_a_file(home: Home) -> None:
    home.data.write_text("not a folder")
    done = home.call("materialize", check=False)
    assert done.status == 1
    assert str(home.data) in done.stderr
    assert "hint: a file stands where a folder is needed" in done.stderr
    assert "Traceback" not in done.stderr


def _as_nobody() -> None:
    if os.geteuid() == 0:
        os.setgid(65534)
        os.setuid(65534)


def test_data_folder_is_not_writable(home: Home) -> None:
    """Checked through the library in a forked child: as root every folder is writable."""
    from minicode_assets.defs.driver import data_folder_lock
    from minicode_assets.errors import StorageError

    def attempt() -> None:
        _as_nobody()
        try:
            with data_folder_lock(home.data):
                os._exit(0)
        except StorageError as error:
            os._exit(7 if str(home.data) in str(error) and "hint: make it writable" in str(error) else 1)

    home.data.mkdir()
    home.data.chmod(0o555)
    child = multiprocessing.get_context("fork").Process(target=attempt)
    child.start()
    child.join()
    assert child.exitcode == 7


def _limit_file_size() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))


@pytest.mark.slow
def test_disk_that_fills_up_then_has_space_again(finished: Home, home: Home) -> None:
    """A limit on file size (of the data folder's files) stands in for a full disk; see also the tmpfs test below."""
    home.minicode("init")
    done = subprocess.run(
        [sys.executable, "-m", "minicode_assets", "materialize", "--select", "tokenizer"],
        env=finished.environment | {"MINICODE_DATA": str(home.data), "DAGSTER_HOME": str(home.root / "dagster_home")},
        cwd=ROOT, capture_output=True, text=True, preexec_fn=_limit_file_size, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback (most" not in done.stderr
    assert not list(home.data.rglob("manifest.json"))


@pytest.mark.slow
def test_real_full_disk(finished: Home, home: Home, tmp_path: Path) -> None:
    """A file system of 3 MB fills up in the middle; with room, the same command gives the usual artefacts."""
    small_disk = tmp_path / "disk"
    small_disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(small_disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        command = ("materialize", "--select", '+key:"documents"')
        done = home.minicode(*command, check=False, env={"MINICODE_DATA": str(small_disk / "data")})
        assert done.status == 1
        assert "No space left on device" in done.stderr, done.stderr
        assert "hint: free some space" in done.stderr
        assert "Traceback (most" not in done.stderr
        subprocess.run(["mount", "-o", "remount,size=300m", str(small_disk)], check=True)
        home.minicode(*command, env={"MINICODE_DATA": str(small_disk / "data")})
        shutil.move(small_disk / "data", home.data)
        made = folders(home)
        assert {f"documents/{key}" for key in partition_keys(2)} <= set(made)
        assert made.items() <= folders(finished).items()
    finally:
        subprocess.run(["umount", str(small_disk)], check=False)


def test_empty_archive(home: Home) -> None:
    home.configure(SMALL.replace('["packaging", "tenacity", "httpx", "universal-pathlib", "jinja2"]', "[]"))
    done = home.call("materialize", check=False)
    assert done.status == 1
    assert "archive" in done.stderr
    assert "hint:" in done.stderr
    assert "Traceback (most" not in done.stderr
    assert not (home.data / "archive").exists()


def test_misspelt_key_and_preset(home: Home) -> None:
    home.configure("[corpus]\nmax_linez = 3\n")
    done = home.call("materialize", check=False)
    assert done.status == 1
    assert "did you mean 'max_lines'?" in done.stderr
    assert "Traceback" not in done.stderr
    home.configure("")
    assert "did you mean 'tiny'?" in home.call("config", check=False, env={"MINICODE_PRESET": "tyny"}).stderr
    home.configure("[corpus\n")
    assert "MINICODE_CONFIG=" in home.call("config", check=False).stderr


def test_unknown_asset(home: Home) -> None:
    done = home.call("materialize", "--select", "tokeniser", check=False)
    assert done.status == 1
    assert "did you mean 'tokenizer'?" in done.stderr
    assert "is no selection" in home.call("materialize", "--select", "key:(", check=False).stderr


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["branch_heads", "token_shards"])
def test_flipped_bit_is_found_by_the_consumer_and_the_hint_mends_it(
    finished: Home, tmp_path: Path, victim: str
) -> None:
    consumers = {
        "branch_heads": "file_manifest", "token_shards": "checkpoint",
    }  # fmt: skip
    home = copy_of(finished, tmp_path)
    file = max(
        (p for p in (home.data / victim).rglob("*") if p.name != "manifest.json"), key=lambda p: p.stat().st_size
    )
    whole = file.read_bytes()
    middle = len(whole) // 2
    file.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    done = home.minicode("materialize", "--select", consumers[victim], "--force", check=False)
    assert done.status == 1, done.stderr
    assert str(file) in done.stderr
    hint = f"minicode materialize --select {victim} --force"
    assert hint in done.stderr, done.stderr
    home.minicode(*hint.split()[1:])
    home.minicode("materialize")
    assert folders(home) == folders(finished)


@pytest.mark.slow
def test_blob_that_is_not_its_id(finished: Home, tmp_path: Path) -> None:
    """Bytes in the content folder that were exchanged: the blob is not stored, the check stops the run."""
    home = copy_of(finished, tmp_path)
    row = pl.read_parquet(home.data / "contents" / "*.parquet").filter("is_python").row(0, named=True)
    file = home.data / "archive" / "content" / row["sha1"].hex()
    whole = file.read_bytes()
    file.write_bytes(gzip.compress(b"import evil\n"))
    done = home.minicode("materialize", "--select", "blobs", "--force", check=False)
    assert done.status == 1
    assert "no_mismatch" in done.stderr
    blobs = pl.read_parquet(home.data / "blobs" / "*" / "*.parquet")
    stored = blobs.filter(pl.col("sha1_git") == row["sha1_git"]).row(0, named=True)
    assert stored["data"] is None
    assert stored["status"] == "mismatch"
    assert stored["problem"]
    file.write_bytes(whole)
    home.minicode("materialize")
    assert folders(home) == folders(finished)


def test_two_drivers_at_once(home: Home) -> None:
    from minicode_assets.defs.driver import data_folder_lock

    home.data.mkdir()
    with data_folder_lock(home.data):
        done = home.call("materialize", check=False)
    assert done.status == 1
    assert "another `minicode materialize` is at work" in done.stderr


def test_dagster_home_without_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No place for it, and a disk that fills up while it is used: the hint names DAGSTER_HOME, not the data folder."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(StorageError, match=r"hint: .*DAGSTER_HOME elsewhere"), ready_instance():
        pass
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    full = OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full"))
    told = r"home: Dagster can't .* disk is full\nhint: free .*DAGSTER_HOME"
    with pytest.raises(StorageError, match=told), ready_instance():
        raise full


def test_damaged_dagster_home(home: Home) -> None:
    (home.root / "dagster_home" / "history").write_text("not a folder")
    done = home.call("materialize", check=False)
    assert done.status == 1
    assert "hint:" in done.stderr
    assert str(home.root / "dagster_home") in done.stderr
