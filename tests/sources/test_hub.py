"""Hugging Face data sets from a real server: published formats, limits, resumption, and everything that goes wrong."""

import io
import json
import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from minicode_assets.blobs.backends import Answer, LocalBackend, Wanted
from minicode_assets.blobs.opt_out import OptOut, read_opt_out
from minicode_assets.config import Config
from minicode_assets.config.hub import HubDataset
from minicode_assets.errors import SourceError
from minicode_assets.layout import partition_keys
from minicode_assets.parquet import read_table
from minicode_assets.schemas import DOCUMENTS
from minicode_assets.sources import hub
from minicode_assets.sources.harvest import Harvest, seal_harvest, with_contents
from minicode_assets.sources.hub_maps import MAPPINGS
from minicode_assets.sources.rows import split_lines
from minicode_assets.swhid import content_ids
from minicode_assets.tokens.source_formats import format_of
from tests.sources.servers import COMMIT, TOKEN, Served, serving

KEYS = partition_keys(2)
SWALLOW = "stage5-auto-format/python/medium/train_0001.jsonl"


def swallow_row(number: int, **changes: Any) -> dict[str, Any]:
    """A row as swallow-code-v2 has it: text among much else, one column of mixed types."""
    return {
        "text": f"def f{number}():\n    return {number}\n", "old_text": "x" * 3000, "improved_code": "y" * 2000,
        "score": 7, "Qwen3-14B_evaluation": "good " * 50, "lint_report": "" if number % 2 else [{"row": 1}],
        "blob_id": f"{number:040x}", "content_id": "0" * 40, "path": f"/pkg/m{number}.py",
        "repo_name": f"owner/repo{number % 3}", "detected_licenses": ["MIT"], "license_type": "permissive",
        "revision_date": "2020-01-02T03:04:05", **changes,
    }  # fmt: skip


def jsonl(rows: Iterator[dict[str, Any]] | list[Any]) -> bytes:
    return b"".join((row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows)


def parquet(rows: list[dict[str, Any]], rows_per_group: int = 10) -> bytes:
    buffer = io.BytesIO()
    pl.DataFrame(rows).write_parquet(buffer, row_group_size=rows_per_group)
    return buffer.getvalue()


@pytest.fixture
def served() -> Iterator[Served]:
    with serving(Served()) as running:
        yield running


def section(name: str, served: Served, **changes: Any) -> HubDataset:
    return replace(
        getattr(Config(), name), endpoint=served.url, pause_s=0.01, max_files=1, max_tokens=0, attempts=3, **changes
    )


def collect(
    name: str,
    served: Served,
    folder: Path,
    params: HubDataset,
    token: str | None = None,
    backend: Any = None,
    wishes: OptOut | None = None,
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """As the stage does it."""
    file = hub.list_files(params, folder / "mirror", token=token)[0]
    web = hub.open_web(params, token)
    harvest = Harvest(folder / "work", [file.url, file.size])
    if not harvest.progress.is_done:
        found = hub.read_file(name, file, web, harvest.progress.place, params, harvest.count)
        if backend:
            found = with_contents(found, backend, max_bytes=params.max_row_bytes, wishes=wishes)
        harvest.take(
            found, block_bytes=params.block_bytes, limit_rows=params.limit_rows, limit_bytes=params.limit_bytes
        )
    web.close()
    row = harvest.progress.row
    artifact = seal_harvest(
        harvest, folder / name, name=name, keys=KEYS, config_digest="", inputs={}, metadata={"next_row": row}
    )
    frame = pl.concat([read_table(folder / name, DOCUMENTS, pattern=f"{key}.parquet") for key in KEYS])
    return frame.sort("record_id"), dict(artifact.metadata)


def test_swallow_code_streams_as_much_as_is_asked_for(served: Served, tmp_path: Path) -> None:
    data = jsonl([swallow_row(number) for number in range(2000)])
    served.files = {"tokyotech-llm/swallow-code-v2": {SWALLOW: data, "README.md": b"#"}}
    frame, metadata = collect("swallow_code", served, tmp_path, section("swallow_code", served, max_rows=50))
    assert (frame.height, metadata["next_row"]) == (50, 50)
    assert served.sent[SWALLOW] <= len(data)
    row = frame.filter(pl.col("path") == "pkg/m7.py").row(0, named=True)
    assert row["text"] == "def f7():\n    return 7\n"
    assert (row["origin_url"], row["declared_license"]) == ("https://github.com/owner/repo1", "MIT")
    assert row["date"].isoformat() == "2020-01-02T03:04:05+00:00"
    assert {authorization for _, _, authorization in served.log} == {None}


def test_limits_in_tokens_and_bytes(served: Served, tmp_path: Path) -> None:
    served.files = {"tokyotech-llm/swallow-code-v2": {SWALLOW: jsonl([swallow_row(n) for n in range(300)])}}
    params = replace(section("swallow_code", served), max_tokens=300, bytes_per_token=3.0)
    frame, _ = collect("swallow_code", served, tmp_path / "a", params)
    assert 900 <= frame["length_bytes"].sum() < 900 + 30
    frame, _ = collect("swallow_code", served, tmp_path / "b", section("swallow_code", served, max_bytes=500))
    assert 500 <= frame["length_bytes"].sum() < 530


def test_a_sample_is_the_same_whatever_the_order_and_the_limit(served: Served, tmp_path: Path) -> None:
    served.files = {"tokyotech-llm/swallow-code-v2": {SWALLOW: jsonl([swallow_row(n) for n in range(400)])}}
    params = section("swallow_code", served, sample_fraction=0.25)
    whole, metadata = collect("swallow_code", served, tmp_path / "a", params)
    part, _ = collect("swallow_code", served, tmp_path / "b", replace(params, max_rows=200))
    assert 60 < whole.height < 140
    assert metadata["not_documents"]["sampled_out"] == 400 - whole.height
    assert set(part["record_id"]) <= set(whole["record_id"])


def test_progress_of_another_file_is_thrown_away(tmp_path: Path) -> None:
    Harvest(tmp_path / "work", ["a"])._note()
    harvest = Harvest(tmp_path / "work", ["b"])
    assert harvest.progress.row == 0


def test_bad_rows_are_named_and_counted(served: Served, tmp_path: Path) -> None:
    rows = [swallow_row(0), b"{not json", b'"a string"', swallow_row(3, text=None), swallow_row(4, text="  "), b"",
            swallow_row(5, text="x" * 20_000), swallow_row(6, text=5), b"\xff\xfe{}", swallow_row(8)]  # fmt: skip
    served.files = {"tokyotech-llm/swallow-code-v2": {SWALLOW: jsonl(rows) + b'{"text": "cut o'}}
    frame, metadata = collect("swallow_code", served, tmp_path, section("swallow_code", served, max_row_bytes=15_000))
    assert metadata["statuses"] == {"empty": 3, "malformed": 4, "ok": 2, "too_long": 1}
    named = frame.filter(pl.col("status") == "malformed")["record_id"].to_list()
    assert any(f"{SWALLOW}#1" in record for record in named)
    assert frame.filter(pl.col("status") != "ok")["text"].null_count() == 8


def test_odd_columns_and_repeated_rows_cost_nothing(served: Served, tmp_path: Path) -> None:
    odd = [
        swallow_row(1), swallow_row(1), swallow_row(2, detected_licenses="MIT"), swallow_row(3, detected_licenses=5),
        swallow_row(4, repo_name={"a": 1}, path=["x"]), swallow_row(5, path="/m\ud800.py", score="good"),
        swallow_row(6, revision_date=[2020]),
    ]  # fmt: skip
    served.files = {"tokyotech-llm/swallow-code-v2": {SWALLOW: jsonl(odd)}}
    frame, metadata = collect("swallow_code", served, tmp_path, section("swallow_code", served, min_score=5.0))
    assert metadata["statuses"] == {"ok": 6, "score": 1}
    assert frame["document_id"].is_unique().all(), "the first two are the same file of the same repository"
    assert frame.sort("path")["declared_license"].to_list().count("MIT") == 6
    contest = {"name": "n", "description": "d", "solutions": {"language": [3], "solution": [None]}}
    assert MAPPINGS["code_contests"].document(contest, "f#1", "a").text == ""
    for solutions in ("x", {"language": 3}, {"language": [[3]], "solution": ["x"]}, {"language": {"a": 1}}):
        assert MAPPINGS["code_contests"].document({**contest, "solutions": solutions}, "f#1", "a").text == ""
    assert MAPPINGS["openwebmath"].document({"url": "http://[x", "text": "t"}, "f#1", "a").url is None


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"key": 1, "more": 2}'])
def test_damaged_progress_is_thrown_away(tmp_path: Path, damage: bytes) -> None:
    Harvest(tmp_path / "work", ["a"])._note()
    (tmp_path / "work" / "place.json").write_bytes(damage)
    assert Harvest(tmp_path / "work", ["a"]).progress.row == 0


def test_progress_without_its_blocks_is_thrown_away(tmp_path: Path) -> None:
    first = Harvest(tmp_path / "work", ["a"])
    first.progress.num_blocks, first.progress.row = 1, 9
    first._note()
    assert Harvest(tmp_path / "work", ["a"]).progress.row == 0


@pytest.mark.parametrize(
    ("asked", "pause_s"),
    [
        ("-5", 0.01), ("nan", 0.01), ("Wed, 99 Oct 2015", 0.01), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.01), ("7", 7),
        ("900", 120), ("in 30 s", 30),
    ],
)  # fmt: skip
def test_a_server_is_given_the_pause_that_it_asks_for(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str, pause_s: float
) -> None:
    in_30_s = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    served.files = {"tokyotech-llm/swallow-code-v2": {SWALLOW: jsonl([swallow_row(1)])}}
    served.script = [f"429 Retry-After={in_30_s if asked == 'in 30 s' else asked}"]
    pauses: list[float] = []
    monkeypatch.setattr("minicode_assets.sources.web.time.sleep", pauses.append)
    assert collect("swallow_code", served, tmp_path, section("swallow_code", served))[0].height == 1
    assert pauses == [pytest.approx(pause_s, abs=1 if pause_s == 30 else 0)]


def test_another_schema_stops_the_run(served: Served, tmp_path: Path) -> None:
    rows = [{"content": "x = 1", "n": n} for n in range(50)]
    served.files = {"tokyotech-llm/swallow-code-v2": {SWALLOW: jsonl(rows)}, "openai/gsm8k": {
        "main/train-00000-of-00001.parquet": parquet(rows)}}  # fmt: skip
    with pytest.raises(SourceError, match="no column text; found content, n"):
        collect("swallow_code", served, tmp_path / "a", section("swallow_code", served))
    with pytest.raises(SourceError, match="no column question, answer; found content, n"):
        collect("gsm8k", served, tmp_path / "b", section("gsm8k", served))


def test_parquet_by_ranges_and_columns(served: Served, tmp_path: Path) -> None:
    rows = [{"url": f"https://site{n % 2}.org/p{n}", "text": f"Theorem {n}", "date": "2020-01-01T00:00:00",
             "metadata": "{}", "unused": Random(n).randbytes(20_000)} for n in range(40)]  # fmt: skip
    name = "data/train-00000-of-00114.parquet"
    served.files = {"open-web-math/open-web-math": {name: parquet(rows)}}
    params = section("openwebmath", served, read_ahead_bytes=1000, max_rows=25)
    frame, metadata = collect("openwebmath", served, tmp_path, params)
    assert frame.height == 25
    assert frame["origin_url"].unique().sort().to_list() == ["https://site0.org", "https://site1.org"]
    assert frame["declared_license"].unique().to_list() == ["ODC-By-1.0"]
    assert served.sent[name] < 0.6 * len(served.files["open-web-math/open-web-math"][name])
    assert metadata["next_row"] == 25


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (["429 Retry-After=0.01", "503"], ""),
        (["cut", "cut", "500"], ""),
        (["503"] * 3, "3 tries without progress, the last with: status 503"),
        (["whole"], ""),
        (["cut", "whole"], "without a range"),
        (["other"], "expected bytes from 0 of"),
        (["404"], "status 404"),
        (["302"], "a redirect .* that leads nowhere"),
    ],
)
def test_a_server_in_trouble(served: Served, tmp_path: Path, script: list[str], message: str) -> None:
    served.files = {"tokyotech-llm/swallow-code-v2": {SWALLOW: jsonl([swallow_row(n) for n in range(100)])}}
    served.script = list(script)
    if message:
        with pytest.raises(SourceError, match=message):
            collect("swallow_code", served, tmp_path, section("swallow_code", served))
        assert not (tmp_path / "swallow_code").exists()
    else:
        frame, _ = collect("swallow_code", served, tmp_path, section("swallow_code", served))
        assert frame["record_id"].n_unique() == 100


def test_a_gated_data_set(served: Served, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    served.files = {"tokyotech-llm/swallow-code-v2": {SWALLOW: jsonl([swallow_row(1)])}}
    served.gated = frozenset(served.files)
    params = section("swallow_code", served)
    for token in (None, "hf_another"):
        with pytest.raises(SourceError, match=r"accept its terms at .*then set HF_TOKEN") as refused:
            collect("swallow_code", served, tmp_path / "no", params, token)
        assert "hf_another" not in str(refused.value)
    frame, _ = collect("swallow_code", served, tmp_path / "yes", params, TOKEN)
    assert frame.height == 1
    assert {a for path, _, a in served.log if path.startswith("/tokyotech")} == {None}, "the CDN never sees the token"
    assert TOKEN not in caplog.text
    assert TOKEN not in repr(hub.open_web(params, TOKEN))
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
    with pytest.raises(SourceError, match="characters that no token has"):
        hub.open_web(params, "hf_a\nb")
    with pytest.raises(SourceError) as refused:
        hub.list_files(params, tmp_path / "odd", token="hf_a\nb")
    assert "hf_a" not in str(refused.value)


def test_what_the_hub_does_not_have(served: Served, tmp_path: Path) -> None:
    served.files = {"tokyotech-llm/swallow-code-v2": {SWALLOW: b"{}\n"}}
    params = section("swallow_code", served)
    for change, message in (({"repository": "no/such"}, "no such data set"), ({"revision": "v9"}, "no revision 'v9'"),
                            ({"files": "x*.jsonl"}, "no file matches"), ({"repository": "a b"}, "correct `repository`"),
                            ({"endpoint": "http://127.0.0.1:1"}, "ConnectError")):  # fmt: skip
        with pytest.raises(SourceError, match=message):
            hub.list_files(replace(params, **change), tmp_path / message, token=None)


def test_the_revision_is_pinned_at_first_use(served: Served, tmp_path: Path) -> None:
    served.files = {"tokyotech-llm/swallow-code-v2": {SWALLOW: b"{}\n"}}
    first = hub.list_files(section("swallow_code", served), tmp_path, token=None)
    assert COMMIT in first[0].url
    served.files["tokyotech-llm/swallow-code-v2"][SWALLOW] = b"{}{}\n"
    assert hub.list_files(section("swallow_code", served), tmp_path, token=None) == first
    with pytest.raises(SourceError, match="found sha256"):
        b"".join(hub.open_web(section("swallow_code", served), None).stream(first[0]))


def test_contents_by_blob_id(served: Served, tmp_path: Path) -> None:
    import gzip

    bodies = [b"x = 1\n", b"\xff\xfe\xfa", b"y = 2\n", b"z = 3\n"]
    (tmp_path / "content").mkdir()
    for number, body in enumerate(bodies):
        if number != 2:
            kept = gzip.compress(b"other!" if number == 3 else body)
            (tmp_path / "content" / content_ids(body)[1].hex()).write_bytes(kept)
    rows = [{"blob_id": content_ids(body)[1].hex(), "repo_name": "o/r", "path": f"m{n}.py", "length_bytes": len(body),
             "score": 3.5, "int_score": 4} for n, body in enumerate(bodies)]  # fmt: skip
    rows.append({**rows[0], "blob_id": "no hash", "path": "m4.py"})
    served.files = {"HuggingFaceTB/smollm-corpus": {"python-edu/train-00000-of-00001.parquet": parquet(rows)}}
    frame, _ = collect(
        "python_edu", served, tmp_path, section("python_edu", served), backend=LocalBackend(tmp_path / "content")
    )
    assert dict(frame.select("path", "status").iter_rows()) == {
        "m0.py": "ok", "m1.py": "undecodable", "m2.py": "missing", "m3.py": "damaged", "m4.py": "malformed",
    }  # fmt: skip
    assert frame.filter(pl.col("path") == "m0.py").row(0, named=True)["sha1_git"] == content_ids(bodies[0])[0]


class Asked(LocalBackend):
    """A folder that remembers what it was asked for."""

    sha1s: ClassVar[list[bytes]] = []

    def fetch(self, wanted: Iterable[Wanted]) -> Iterator[Answer]:
        for content in wanted:
            self.sha1s.append(content.sha1)
            yield from super().fetch([content])


def test_what_is_opted_out_is_not_asked_for(served: Served, tmp_path: Path) -> None:
    (tmp_path / "wishes").write_text(
        f"owner gone\norigin https://github.com/o/secret\npath *m3.py\nswhid swh:1:cnt:{4:040x}\n"
    )
    rows = [
        {"blob_id": f"{n:040x}", "content_id": f"{n:040x}", "repo_name": name, "path": f"m{n}.py", "length_bytes": 9}
        for n, name in enumerate(["o/r", "Gone/r", "o/secret", "o/r", "o/r"])
    ]
    served.files = {"HuggingFaceTB/smollm-corpus": {"python-edu/train-00000-of-00001.parquet": parquet(rows)}}
    backend = Asked(tmp_path)
    frame, _ = collect(
        "python_edu", served, tmp_path, section("python_edu", served), backend=backend,
        wishes=read_opt_out(tmp_path / "wishes"),
    )  # fmt: skip
    assert [sha1.hex() for sha1 in backend.sha1s] == [f"{0:040x}"]
    statuses = dict(frame.select("path", "status").iter_rows())
    assert statuses == {"m0.py": "missing", **{f"m{n}.py": "opted_out" for n in range(1, 5)}}


def repository_row(number: int) -> dict[str, Any]:
    """A row of The Stack v3: a repository with its files."""
    files = [
        {"content_id": f"{number}-{n}", "content": f"x = {number}{n}\n", "size_bytes": 7, "file_path": f"pkg/m{n}.py",
         "file_timestamp": "2025-01-02T03:04:05Z", "language": "C" if n == 2 else "Python", "is_vendor": False,
         "license_type": "permissive", "detected_licenses": ["MIT", "Apache-2.0"][: n + 1]}
        for n in range(number % 5)
    ]  # fmt: skip
    about = {"branch": "main", "stars": 3, "is_fork": False}
    return {"repo_path": f"o/r{number}", "repo_id": number, "commit_id": "0" * 40, "github_metadata": about,
            "num_files": len(files), "files": files}  # fmt: skip


def repositories(served: Served) -> None:
    content = parquet([repository_row(number) for number in range(2, 42)])
    served.files = {"HuggingFaceCode/stack-v3-train": {"data/train-00000-of-08192.parquet": content}}


def test_a_row_that_is_a_repository_gives_its_files_in_the_language(served: Served, tmp_path: Path) -> None:
    repositories(served)
    frame, metadata = collect("stack_v3", served, tmp_path, section("stack_v3", served))
    assert frame.height == 8 * (1 + 2 + 2 + 3)
    assert (metadata["next_row"], metadata["not_documents"]) == (40, {"other_language": 16})
    row = frame.filter(pl.col("record_id") == "o/r14/pkg/m1.py@data/train-00000-of-08192.parquet#12").row(0, named=True)
    assert (row["origin_url"], row["path"], row["text"]) == ("https://github.com/o/r14", "pkg/m1.py", "x = 141\n")
    assert (row["declared_license"], row["date"].year) == ("MIT AND Apache-2.0", 2025)


@pytest.mark.slow
def test_a_killed_run_goes_on_behind_a_whole_repository(served: Served, tmp_path: Path) -> None:
    repositories(served)
    params = section("stack_v3", served, block_bytes=700)
    whole, _ = collect("stack_v3", served, tmp_path / "whole", params)
    file, web = hub.list_files(params, tmp_path / "mirror", token=None)[0], hub.open_web(params, None)
    for stop in (3, 22, 41):
        folder = tmp_path / str(stop)
        harvest = Harvest(folder / "work", [file.url, file.size])
        found = hub.read_file("stack_v3", file, web, harvest.progress.place, params, harvest.count)

        def killed(found: Any, stop: int) -> Any:
            for number, item in enumerate(found):
                if number == stop:
                    raise KeyboardInterrupt
                yield item

        with pytest.raises(KeyboardInterrupt):
            harvest.take(killed(found, stop), block_bytes=700, limit_rows=None, limit_bytes=None)
        assert collect("stack_v3", served, folder, params)[0].equals(whole)
    web.close()


GOLDEN = [
    ("gsm8k", {"question": "2 + 2?", "answer": "<<2+2=4>>4\n#### 4"}, "2 + 2?\n<<2+2=4>>4\n#### 4"),
    ("code_contests", {"name": "p", "description": "Add.",
                       "solutions": {"language": [3, 2, 3], "solution": ["a", "b", "c"]}},
     "Add.\nSolution (Python 3):a\nSolution (C++):b\n"),
    ("code_contests", {"name": "p", "description": "Add.", "solutions": {"language": [], "solution": []}}, ""),
    ("rosetta_code", {"task_name": "A+B", "task_description": "Sum.", "language_name": "Ada", "code": "begin"},
     "A+B\nSum.\n\nLanguage: Ada\nbegin"),
    ("extras_issues",
     {"repo_name": "o/r", "content": "<issue_start>Title: t\nusername_0: c<issue_comment>username_1: d"},
     "\ufdd0<issue_start>Title: t\nusername_0: c\ufdd0<issue_comment>username_1: d"),
    ("extras_kaggle", {"content": "<jupyter_start><jupyter_text>T<jupyter_code>x<jupyter_output><empty_output>"},
     "\ufdd0<jupyter_start>\ufdd0<jupyter_text>T\ufdd0<jupyter_code>x\ufdd0<jupyter_output>\ufdd0<empty_output>"),
    ("extras_ir", {"id": "1", "content": "int f();<code_to_intermediate>define i32"},
     "int f();\ufdd0<code_to_intermediate>define i32"),
    ("stack_v3", {"content": "x = '<issue_start>'"}, "x = '<issue_start>'"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "row", "expected"), GOLDEN)
def test_golden(name: str, row: dict[str, Any], expected: str) -> None:
    assert MAPPINGS[name].document(row, "f#0", "https://hub/d").text == expected


@pytest.mark.parametrize("name", MAPPINGS)
def test_every_mapping_survives_an_empty_row_and_has_a_format(name: str) -> None:
    document = MAPPINGS[name].document({}, "f#0", "https://hub/d")
    assert document.text == "" or name == "gsm8k"
    assert format_of(document.source)
    assert set(MAPPINGS[name].required) <= set(MAPPINGS[name].columns)


def column(kind: pa.DataType, cells: list[Any]) -> bytes:
    """A file of OpenWebMath with one odd column."""
    rows = pa.table({"url": ["https://s.org/p"] * 3, "text": ["a", "b", "c"], "date": ["2020-01-01"] * 3})
    name = "date" if pa.types.is_timestamp(kind) else "text"
    buffer = io.BytesIO()
    pq.write_table(rows.set_column(rows.schema.names.index(name), name, [pa.array(cells, kind)]), buffer)
    return buffer.getvalue()


NOT_UTF8 = pa.StringArray.from_buffers(3, *map(pa.py_buffer, (b"\0\0\0\0\1\0\0\0\3\0\0\0\4\0\0\0", b"a\xff\xfeb")))
WHOLE = column(pa.string(), ["x" * 999, "y" * 999, "z" * 999])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (column(pa.string(), NOT_UTF8), {"ok": 2, "malformed": 1}),
        (column(pa.timestamp("ms"), [0, 10**15, None]), {"ok": 2, "malformed": 1}),
        (column(pa.timestamp("ns"), [1, 2**62, None]), {"ok": 3}),
        (column(pa.large_string(), ["a", None, " "]), {"ok": 1, "empty": 2}),
        (column(pa.string(), ["a", "b", "x" * 99]).replace(b"PAR1", b"PAR0"), "no readable Parquet"),
        (WHOLE[:-20], "no readable Parquet"),
        (WHOLE[:40] + b"\0" * 40 + WHOLE[80:], "no readable Parquet"),
        (column(pa.int64(), [1, 2, 3]), "column text has type int64, expected text"),
        (column(pa.binary(), [b"a", b"b", b"c"]), "column text has type binary, expected text"),
    ],
)
def test_odd_and_damaged_parquet(served: Served, tmp_path: Path, content: bytes, expected: Any) -> None:
    served.files = {"open-web-math/open-web-math": {"data/train-00000-of-00114.parquet": content}}
    if isinstance(expected, str):
        with pytest.raises(SourceError, match=expected):
            collect("openwebmath", served, tmp_path, section("openwebmath", served))
        assert not (tmp_path / "openwebmath").exists()
    else:
        assert collect("openwebmath", served, tmp_path, section("openwebmath", served))[1]["statuses"] == expected


def test_lines_whatever_the_chunks() -> None:
    data = b"a\n\nlonger line\nb" + b"c" * 50 + b"\nend"
    expected = [(b"a", 2), (b"", 1), (b"longer line", 12), (None, 52), (b"end", 3)]
    for size in (1, 2, 3, 7, 100):
        chunks = (data[start : start + size] for start in range(0, len(data), size))
        assert list(split_lines(chunks, 20)) == expected
