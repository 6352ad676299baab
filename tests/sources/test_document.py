"""The face of a source: rows, partitions, statuses, and bytes that are the same each time."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicode_assets.config import Corpus
from minicode_assets.corpus.rules import rules
from minicode_assets.layout import partition_keys
from minicode_assets.parquet import read_table
from minicode_assets.schemas import DOCUMENTS
from minicode_assets.sources.document import Document, frame_of, write_documents
from minicode_assets.sources.statuses import STATUSES
from minicode_assets.swhid import content_ids
from minicode_model.artifact import Artifact

KEYS = partition_keys(4)


def document(number: int, text: str = "") -> Document:
    return Document(
        source="documentation", record_id=str(number), origin_url="https://e.org/a;b", path=f"p {number}.md",
        text=text or f"text {number}",
    )  # fmt: skip


def write(folder: Path, documents: Iterator[Document], block_bytes: int = 1000) -> Artifact:
    return write_documents(
        folder, documents, name="documentation", keys=KEYS, block_bytes=block_bytes, config_digest="", inputs={}
    )


def test_rows_lie_in_their_partition_whatever_the_block(tmp_path: Path) -> None:
    one = write(tmp_path / "one", (document(n) for n in range(100)), block_bytes=5000)
    other = write(tmp_path / "other", (document(n) for n in range(100)), block_bytes=10**9)
    assert one.metadata == other.metadata
    assert one.metadata["num_rows"] == 100
    frames = []
    for index, key in enumerate(KEYS):
        frame = read_table(one.path, DOCUMENTS, pattern=f"{key}.parquet")
        assert frame.equals(read_table(other.path, DOCUMENTS, pattern=f"{key}.parquet"))
        assert {sha1_git[0] // 64 for sha1_git in frame["sha1_git"]} == {index}
        frames.append(frame)
    assert pl.concat(frames)["document_id"].n_unique() == 100
    assert write(tmp_path / "one", (document(n) for n in range(100)), block_bytes=5000).digest == one.digest


def test_row_of_a_file_and_of_a_record() -> None:
    when = datetime(2024, 5, 6, 7, 8, tzinfo=timezone(timedelta(hours=2)))
    record = Document(source="issues", record_id="o/r#1", origin_url="https://e.org/o;r", path="1", text="é", date=when)
    row = record.row()
    assert row["sha1_git"] == content_ids("é".encode())[0]
    assert (row["length_bytes"], row["status"], row["revision"]) == (2, "ok", None)
    assert row["date"] == datetime(2024, 5, 6, 5, 8, tzinfo=UTC)
    assert row["swhid"].endswith(";origin=https://e.org/o%3Br;path=/1")
    file = Document(source="notebooks", record_id="x", origin_url="o", path="a.ipynb", text="é", content=b"{}")
    assert file.row()["sha1_git"] == content_ids(b"{}")[0]


@pytest.mark.parametrize(("text", "status"), [("a\0b", "nul"), ("\ud800", "undecodable"), ("ok", "ok")])
def test_what_no_annotator_can_read_has_no_text(text: str, status: str) -> None:
    row = document(1, text).row()
    assert (row["status"], row["text"]) == (status, "ok" if status == "ok" else None)


@pytest.mark.parametrize("field", ["record_id", "origin_url", "path", "url", "license"])
def test_half_a_character_in_a_name_costs_nothing(field: str) -> None:
    given = {"source": "lhq", "record_id": "1", "origin_url": "o", "path": "p", "text": "x", field: "a\ud800"}
    frame = frame_of([Document(**given).row()])  # type: ignore[arg-type]
    assert frame[{"license": "declared_license"}.get(field, field)].to_list() == ["a?"]


@given(st.text(max_size=50), st.sampled_from([*STATUSES, "ok"]))
def test_a_row_has_text_exactly_when_it_is_ok(text: str, status: str) -> None:
    row = document(1, text).dropped(status).row()
    assert (row["text"] is not None) == (row["status"] == "ok")
    assert row["length_bytes"] == len((text or "text 1").encode("utf-8", "surrogatepass"))


def test_every_status_is_a_rule_of_the_funnel() -> None:
    names = [rule.name for rule in rules(Corpus())]
    assert {f"source_{status}" for status in STATUSES} <= set(names)
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        (datetime(2020, 1, 2), datetime(2020, 1, 2, tzinfo=UTC)),
        (datetime(2020, 1, 2, tzinfo=timezone(timedelta(hours=-2))), datetime(2020, 1, 2, 2, tzinfo=UTC)),
        (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))), None),
    ],
)
def test_dates_are_in_utc_whatever_the_machine(date: datetime, expected: datetime | None) -> None:
    assert replace(document(1), date=date).row()["date"] == expected


def test_no_address_has_a_second_line() -> None:
    row = replace(
        document(1), origin_url="https://e.org/a\nb;c", url="u\u2028v", license="MIT\r\nGPL", path="d\ne"
    ).row()
    assert (row["origin_url"], row["url"]) == ("https://e.org/a%0Ab;c", "u%2028v")
    assert row["declared_license"] == "MIT%0D%0AGPL"
    assert row["swhid"].endswith(";origin=https://e.org/a%250Ab%3Bc;path=/d%0Ae")
