"""The commands' own edges: bad options, what a person's folder holds, before anything was made."""

import io
import sys
from pathlib import Path

import pytest

from minicode_assets.cli import main
from minicode_model.__main__ import main as model_main


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder, which the commands find."""
    monkeypatch.setenv("MINICODE_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.mark.parametrize(
    "command",
    [
        (main, "archive", "--out"),
        (main, "evaluate", "--out"),
        (main, "parquet", "--out"),
        (model_main, "train", "--shards", "s", "--work", "w", "--out"),
        (model_main, "evaluate", "--checkpoint", "c", "--shards", "s", "--tokenizer", "t", "--out"),
        (model_main, "export", "--checkpoint", "c", "--shards", "s", "--tokenizer", "t", "--evaluation", "e", "--out"),
    ],
    ids=lambda command: " ".join((command[0].__module__, command[1])),
)
def test_a_persons_folder_is_never_replaced(
    command: tuple[object, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    run, *arguments = command
    assert run([*arguments, str(tmp_path)]) == 1  # type: ignore[operator]
    assert "found other things there, which would be lost" in capsys.readouterr().err
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize(
    "arguments",
    [
        ["funnel", "--count", "-1"],
        ["funnel", "--lines", "x"],
        ["search", "f", "--count", "-1"],
        ["prune", "--days", "-3"],
    ],
    ids=" ".join,
)
def test_numbers_are_no_less_than_none(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert "expected a number, 0 or more" in capsys.readouterr().err


def test_nothing_is_known_before_anything_was_made(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", f"swh:1:cnt:{'0' * 40}"]) == 1
    assert "file_manifest: no manifest.json, so it was never completed\nhint: make run" in capsys.readouterr().err


def test_a_character_that_the_terminal_lacks_is_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert main(["leaderboard"]) == 0
    sys.stdout.write("8.8 → 2.7 \udcff")
    sys.stdout.flush()
    assert sys.stdout.buffer.getvalue().endswith(b"8.8 \\u2192 2.7 \\udcff")  # type: ignore[attr-defined]
