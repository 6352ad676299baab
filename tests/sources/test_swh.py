"""One document a Python file of the manifest, its SWHID complete, its text the file's."""

import os
from collections import Counter

import polars as pl
import pytest

from minicode_assets.corpus.annotate import language
from minicode_assets.parquet import read_table, write_table
from minicode_assets.schemas import CONTENTS, DOCUMENTS, FILE_MANIFEST, LANGUAGE
from minicode_assets.sources.document import Document, write_documents
from minicode_assets.sources.swh import build_documents, document_id, readable_path
from minicode_assets.swhid import content_ids
from minicode_model.artifact import open_artifact
from tests.corpus.worlds import World, make_world

SOURCE = b"import os\n\nprint(os.name)\n"
ORIGINS = {
    "https://example.org/a": {
        "pkg/one.py": SOURCE,
        "pkg/copy.py": SOURCE,
        "pkg/stub.pyi": b"x: int\n",
        b"pkg/\xe9.py": b"y = 2\n",
        "pkg/latin.py": "# coding: latin-1\nname = 'Zoë'\n".encode("latin-1"),
        "pkg/binary.py": b"a\0b",
        "pkg/broken.py": b"\xff\xfe\xfa",
        "pkg/long.py": b"x = 1\n" * 400,
        "pkg/lost.py": b"lost = True\n",
        "README.md": b"# a",
    },
    "https://example.org/b;v=1": {"one.py": SOURCE},
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = make_world(tmp_path_factory.mktemp("swh"), ORIGINS).change("documents", max_length_bytes=1000)
    (world.folder("content") / content_ids(b"lost = True\n")[1].hex()).unlink()
    return world.documents()


def test_every_python_file_is_one_row(world):
    frame = world.read("documents", DOCUMENTS)
    assert dict(frame.filter(pl.col("origin_url") == "https://example.org/a").select("path", "status").iter_rows()) == {
        "pkg/one.py": "ok",
        "pkg/copy.py": "ok",
        "pkg/stub.pyi": "ok",
        "pkg/\\xe9.py": "ok",
        "pkg/latin.py": "ok",
        "pkg/binary.py": "nul",
        "pkg/broken.py": "undecodable",
        "pkg/long.py": "too_long",
        "pkg/lost.py": "missing",
    }
    assert frame["document_id"].is_unique().all()
    assert frame.filter(pl.col("status") != "ok")["text"].null_count() == 4
    assert frame.filter((pl.col("status") == "ok") & pl.col("text").is_null()).height == 0


def test_encodings_are_counted_by_what_names_them(world):
    told, codecs = Counter(), Counter()
    for folder in world.partitions("documents"):
        figures = open_artifact(folder).metadata
        told.update(figures["encodings_told_by"])
        codecs.update(figures["encodings"])
    assert codecs == {"iso8859-1": 1, "utf-8": 5}
    assert told == {"cookie": 1, "default": 5, "failed": 1}


def test_texts_and_swhids(world):
    frame = world.read("documents", DOCUMENTS)
    (row,) = frame.filter(pl.col("path") == "pkg/latin.py").iter_rows(named=True)
    assert (row["text"], row["encoding"]) == ("# coding: latin-1\nname = 'Zoë'\n", "iso8859-1")
    (row,) = frame.filter(pl.col("origin_url").str.ends_with("v=1")).iter_rows(named=True)
    core = content_ids(SOURCE)[0].hex()
    assert row["swhid"].startswith(f"swh:1:cnt:{core};origin=https://example.org/b%3Bv=1;visit=swh:1:snp:")
    assert row["swhid"].endswith(";path=/one.py")
    assert row["document_id"] == document_id(row["swhid"])
    assert len(row["document_id"]) == 32


def test_rows_are_sorted_and_reruns_are_identical(world):
    before = [read_table(path, DOCUMENTS) for path in world.partitions("documents")]
    for frame in before:
        assert frame["sha1_git"].is_sorted()
    first = [(path / "manifest.json").read_bytes() for path in world.partitions("documents")]
    world.documents()
    assert first == [(path / "manifest.json").read_bytes() for path in world.partitions("documents")]


def test_symbolic_links_are_no_documents(tmp_path):
    world = make_world(tmp_path, {"https://example.org/a": {"link.py": b"target.py", "target.py": SOURCE}})
    folder = world.folder("file_manifest")
    manifest = read_table(folder, FILE_MANIFEST).with_columns(
        perms=pl.when(pl.col("path") == b"link.py").then(0o120000).otherwise("perms").cast(pl.Int32)
    )
    write_table(folder, manifest, FILE_MANIFEST, config_digest="", inputs={})
    assert world.documents().read("documents", DOCUMENTS)["path"].to_list() == ["target.py"]


def test_a_record_that_a_source_gives_twice_is_one_document(world, tmp_path):
    one = Document(source="lhq", record_id="1", origin_url="https://e.org", path="p", text="twice the same")
    write_documents(
        tmp_path / "lhq", [one, one], name="lhq", keys=world.keys, block_bytes=1000, config_digest="", inputs={}
    )
    repeated = []
    for key in world.keys:
        made = build_documents(
            world.folder("file_manifest"), world.folder("blobs", key), tmp_path / key, partition=key,
            params=world.config.documents, config_digest="", sources=[tmp_path / "lhq"],
        )  # fmt: skip
        assert read_table(made.path, DOCUMENTS)["document_id"].is_unique().all()
        repeated.append(made.metadata["num_repeated"])
    assert sorted(repeated) == [0, 1]


def test_odd_paths_are_readable():
    assert readable_path(os.fsencode("é.py")) == "é.py"
    assert readable_path(b"\xff\xfe.py") == "\\xff\\xfe.py"


def test_scripts_without_a_suffix_count_where_they_are_asked_for(tmp_path):
    world = make_world(
        tmp_path, {"https://example.org/a": {"run": b"#!/usr/bin/python\nx = 1\n", "sh": b"#!/bin/sh\n"}}
    )
    manifest = read_table(world.folder("file_manifest"), FILE_MANIFEST).with_columns(is_python=pl.lit(True))
    write_table(world.folder("file_manifest"), manifest, FILE_MANIFEST, config_digest="", inputs={})
    contents = read_table(world.folder("contents"), CONTENTS).with_columns(is_python=pl.lit(True))
    write_table(world.folder("contents"), contents, CONTENTS, config_digest="", inputs={})
    for key in world.documents().keys:
        language.annotate(
            world.folder("documents", key),
            world.folder("language", key),
            params=world.config.language,
            config_digest="",
        )
    frame = world.read("documents", DOCUMENTS).join(world.read("language", LANGUAGE), on="document_id")
    assert dict(frame.select("path", "language").iter_rows()) == {"run": "python", "sh": "other"}
