"""An opt-out list at the next run: nothing of what it covers is left but the reason, and nothing else moves."""

import re
from pathlib import Path

import polars as pl
import pytest

from minicode_model.artifact import open_artifact
from tests.conftest import SMALL, Home
from tests.defs.test_chain import copy_of


def texts_below(folder: Path) -> list[tuple[Path, str]]:
    """Every column of every table that could hold a text, as one string a file; the archive itself aside."""
    found = []
    for path in sorted(folder.rglob("*.parquet")):
        if path.relative_to(folder).parts[0] == "archive" or path.relative_to(folder).parts[0].startswith("swh_"):
            continue
        frame = pl.read_parquet(path)
        for name, dtype in frame.schema.items():
            if dtype in (pl.String, pl.Binary):
                values = [value.encode() if isinstance(value, str) else value for value in frame[name].drop_nulls()]
                found.append((path, b"\0".join(values).decode("utf-8", "replace")))
    return found


@pytest.mark.slow
def test_wishes_leave_no_text_and_make_only_what_they_touch(finished: Home, tmp_path: Path) -> None:
    home = copy_of(finished, tmp_path)
    documents = pl.read_parquet(home.data / "documents" / "*" / "*.parquet").filter(pl.col("text").is_not_null())
    (origin,) = documents.filter(pl.col("origin_url").str.contains("tenacity"))["origin_url"].unique()
    named = documents.filter(pl.col("path").str.ends_with("jinja2/lexer.py")).row(0, named=True)
    gone = documents.filter((pl.col("origin_url") == origin) | (pl.col("document_id") == named["document_id"]))
    assert any("def _get_escape_regex" in named["text"] or "class Lexer" in text for text in gone["text"])
    # What another number of partitions left behind has the texts too.
    older = home.data / "documents" / "00-of-01"
    older.mkdir()
    documents.write_parquet(older / "part-00000.parquet")
    (tmp_path / "wishes").write_text(f"origin {origin}\nswhid {named['swhid']}\n")
    home.configure(SMALL + f'\n[opt_out]\nfile = "{tmp_path / "wishes"}"\n')
    done = home.minicode("materialize", "--select", "+corpus")
    made = set(re.findall(r"✓ (\w+)", done.stderr))
    assert {"opt_out", "fetch_plan", "blobs", "documents", "exact_dup", "near_dup", "corpus"} <= made
    assert not made & {"archive", "branch_heads", "file_manifest", "contents", "benchmarks"}

    others = "\n".join(documents.join(gone, on="document_id", how="anti")["text"])
    needles = [line for text in gone["text"] for line in sorted(text.splitlines(), key=len)[-2:] if line not in others]
    assert len(needles) > 5
    left = {path for path, text in texts_below(home.data) for needle in needles if needle in text}
    assert not left
    decisions = pl.read_parquet(home.data / "corpus" / "decisions" / "*.parquet")
    tombstones = decisions.filter(pl.col("document_id").is_in(gone["document_id"].implode()))
    assert tombstones.height == gone.height
    assert tombstones["drop_reasons"].list.first().unique().to_list() == ["opted_out"]
    assert not tombstones["kept"].any()
    opted_out = decisions.filter(pl.col("drop_reasons").list.first() == "opted_out")
    elsewhere = opted_out.join(gone, on="document_id", how="anti")  # of other sources: the origin's documentation
    assert set(elsewhere["origin_url"]) <= {origin}
    assert f"{opted_out.height:,}" in home.minicode("funnel").stdout.split("opted_out", 1)[1].split("\n")[0]

    log = b"".join(path.read_bytes() for path in (home.root / "dagster_home").rglob("*") if path.is_file())
    assert not [needle for needle in needles if needle.strip()[:40].encode() in log]
    digest = open_artifact(home.data / "corpus").digest
    (tmp_path / "wishes").write_text(f"# the same wishes\nswhid {named['swhid']}\norigin {origin}\n")
    again = home.minicode("materialize", "--select", "+corpus")
    assert set(re.findall(r"✓ (\w+)", again.stderr)) == {"opt_out"}
    assert open_artifact(home.data / "corpus").digest == digest
