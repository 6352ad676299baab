"""Every annotator keeps one promise: the documents' rows, in order, key first; nulls where a signal is missing."""

import json
import sysconfig
from pathlib import Path

import polars as pl
import pytest

from minicode_assets.corpus.annotate.sidecar import check_rows
from minicode_assets.errors import CorpusError, CorruptArtifactError, MissingArtifactError
from minicode_assets.parquet import read_table
from minicode_assets.schemas import (
    CONTAMINATION,
    DOCUMENTS,
    EXACT_DUP,
    HEURISTICS,
    LANGUAGE,
    LICENSE,
    MALWARE,
    MINHASH,
    PII,
    REDACT,
)
from tests.corpus.worlds import MIT_METADATA, World, make_world

ANNOTATORS = {"language": LANGUAGE, "license": LICENSE, "heuristics": HEURISTICS, "exact_dup": EXACT_DUP,
              "minhash": MINHASH, "contamination": CONTAMINATION, "pii": PII,
              "malware": MALWARE, "redact": REDACT}  # fmt: skip
WITHOUT_TEXT = {"language": ["parses", "is_generated"], "heuristics": ["num_lines", "num_calls"],
                "exact_dup": ["text_sha256", "group_size", "keep_rank"], "minhash": ["num_words"],
                "malware": ["matches"], "pii": ["pii_status", "num_emails", "pii_fraction"],
                "contamination": ["num_exact", "num_ngrams", "num_long_ngrams", "num_statements", "num_shapes",
                                  "tasks"]}  # fmt: skip
STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib"))


def odd_files() -> dict[str | bytes, bytes]:
    real = {f"Lib/{p.name}": p.read_bytes() for p in sorted(STANDARD_LIBRARY.glob("[a-d]*.py"))}
    return real | {
        "thing.dist-info/METADATA": MIT_METADATA,
        "empty.py": b"",
        "copy.py": real["Lib/abc.py"],
        "python2.py": b"print 'old'\n",
        "binary.py": b"\0\0",
        "crlf.py": b"x = 1\r\ny = 2\r\n",
        "deep.py": b"(" * 5000 + b")" * 5000,
        "astral.py": "name = '\U0001d517\u202e'\n".encode(),
        b"\xff.py": b"z = 3\n",
    }


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    return make_world(tmp_path_factory.mktemp("annotators"), {"https://example.org/a": odd_files()}).annotate()


@pytest.mark.parametrize("name", ANNOTATORS)
def test_rows_are_the_documents_rows(world, name):
    for key in world.keys:
        ids = read_table(world.folder("documents", key), DOCUMENTS)["document_id"]
        frame = read_table(world.folder(name, key), ANNOTATORS[name])
        assert frame["document_id"].to_list() == ids.to_list()
        assert frame.columns[0] == "document_id"


def test_a_rerun_gives_the_same_bytes(world):
    manifests = [path / "manifest.json" for name in ANNOTATORS for path in world.partitions(name)]
    before = {path: path.read_bytes() for path in manifests}
    world.annotate()
    assert {path: path.read_bytes() for path in manifests} == before


@pytest.mark.parametrize("name", WITHOUT_TEXT)
def test_a_missing_text_has_null_signals(world, name):
    frame = world.read("documents", DOCUMENTS).join(world.read(name, ANNOTATORS[name]), on="document_id")
    for column in WITHOUT_TEXT[name]:
        assert frame.filter(pl.col("status") != "ok")[column].null_count() == 1
    for column in WITHOUT_TEXT[name][:1]:
        assert frame.filter(pl.col("status") == "ok")[column].null_count() == 0


@pytest.mark.parametrize("name", ANNOTATORS)
def test_inputs_are_recorded(world, name):
    manifest = json.loads((world.folder(name, world.keys[0]) / "manifest.json").read_bytes())
    documents = json.loads((world.folder("documents", world.keys[0]) / "manifest.json").read_bytes())
    assert manifest["inputs"]["documents"] == documents["digest"]


def test_the_odd_ones_are_seen(world):
    frame = world.read("documents", DOCUMENTS).join(world.read("language", LANGUAGE), on="document_id")
    told = {row["path"]: row for row in frame.iter_rows(named=True)}
    assert told["python2.py"]["parses"] is False
    assert "line 1" in told["python2.py"]["parse_problem"]
    assert told["deep.py"]["parses"] is False
    assert told["empty.py"]["parses"] is True
    assert told["binary.py"]["parses"] is None
    assert told["\\xff.py"]["parses"] is True
    assert frame.filter(pl.col("path").str.starts_with("Lib/"))["parses"].all()


def test_out_of_step_rows_are_refused():
    ids = pl.Series("document_id", ["a", "b", "c"])
    with pytest.raises(CorpusError, match="first difference is at row 1"):
        check_rows(pl.DataFrame({"document_id": ["a", "c", "b"]}), ids, where="here", name="language")
    with pytest.raises(CorpusError, match=r"found 2 rows, expected 3(.|\n)*at row 2"):
        check_rows(pl.DataFrame({"document_id": ["a", "b"]}), ids, where="here", name="language")


def test_absent_and_corrupt_inputs_are_refused(tmp_path):
    world = make_world(tmp_path, {"https://example.org/a": {"a.py": b"x = 1\n"}}, num_prefixes=1)
    with pytest.raises(MissingArtifactError):
        world.sidecars(world.keys[0])
    world.documents()
    part = next(world.folder("documents", world.keys[0]).glob("*.parquet"))
    part.write_bytes(part.read_bytes()[:-20])
    with pytest.raises(CorruptArtifactError):
        world.sidecars(world.keys[0])
