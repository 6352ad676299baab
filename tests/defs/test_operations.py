"""What an operator does: backup and restore, another number of partitions, one partition made again."""

import shutil
import subprocess
from pathlib import Path

import polars as pl
import pytest

from tests.conftest import ROOT, SMALL, Home, new_home
from tests.defs.test_chain import copy_of, folders

pytestmark = pytest.mark.slow


def blocks_of(page: str, word: str) -> list[str]:
    """The lines of a page's shell examples that start with a word."""
    text = (ROOT / "docs" / "guides" / page).read_text()
    return [line for line in text.splitlines() if line.startswith(word)]


def test_backup_and_restore_as_the_guide_says(finished: Home, tmp_path: Path) -> None:
    """The guide's own tar commands, in its order; afterwards everything is as it was, and fresh."""
    commands = blocks_of("operations.md", "tar ")
    assert len(commands) == 4
    source, restored = copy_of(finished, tmp_path), new_home(tmp_path / "restored")
    restored.data.mkdir()
    (restored.root / "dagster_home" / "dagster.yaml").unlink()
    for command in commands:
        home = source if " -c" in command else restored
        subprocess.run(command, shell=True, cwd=tmp_path, env=home.environment, check=True)
    shutil.rmtree(source.root)
    assert folders(restored) == folders(finished)
    assert ": 0 asset partition(s) made" in restored.minicode("materialize").stderr


def test_another_number_of_partitions_takes_the_bytes_along(finished: Home, tmp_path: Path) -> None:
    """From 2 partitions to 4, up to the documents: said, made anew, the same bytes and texts in other folders."""
    home = copy_of(finished, tmp_path)
    home.configure(SMALL.replace("num_prefixes = 2", "num_prefixes = 4"))
    done = home.minicode("materialize", "--select", "notebooks,documentation,blobs,documents")
    assert "of another num_prefixes are made anew" in done.stderr
    for name in ("blobs", "documents"):
        old, new = (pl.read_parquet(home.data / name / f"*-of-0{n}" / "*.parquet") for n in (2, 4))
        key = "sha1_git" if name == "blobs" else "document_id"
        assert old.sort(key).equals(new.sort(key))
    found = home.minicode("doctor").stdout
    assert "num_prefixes is 4" in found
    assert "/*/*-of-02" in found


def test_a_lost_partition_is_made_alone(finished: Home, tmp_path: Path) -> None:
    home = copy_of(finished, tmp_path)
    shutil.rmtree(home.data / "documents" / "01-of-02")
    done = home.minicode("materialize")
    assert ": 1 asset partition(s) made" in done.stderr
    assert "documents [01-of-02]" in done.stderr
    assert folders(home) == folders(finished)
