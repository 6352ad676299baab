"""Files of the manifest that are no Python: fetched by plan, read by their sources, dropped by StarCoder's filters."""

import json
import time
from itertools import chain
from pathlib import Path

import polars as pl
import pytest

from minicode_assets.blobs.backends import LocalBackend
from minicode_assets.blobs.opt_out import build_opt_out
from minicode_assets.blobs.plan import plan_fetch
from minicode_assets.blobs.store import fetch_partition
from minicode_assets.config import Blobs, load
from minicode_assets.config.markup import Markup
from minicode_assets.config.sources import Documentation, Notebooks
from minicode_assets.parquet import read_table
from minicode_assets.schemas import DOCUMENTS, FETCH_PLAN
from minicode_assets.sources.document import write_documents
from minicode_assets.sources.documentation import read_manifest
from minicode_assets.sources.manifest_files import Manifest, manifest_files
from minicode_assets.sources.markup import judge, kind_of, num_visible_characters, read_markup, suffixes
from minicode_assets.sources.notebooks import manifest_notebooks, read_notebooks
from minicode_assets.sources.swh import build_documents
from tests.corpus.worlds import World, make_world

PARAMS = Markup()
WORDS = "the quick brown fox of the north and a lazy dog that sleeps with us all day long "
JSON = json.dumps({"name": "thing", "about": WORDS}).encode()
NOTEBOOK = json.dumps(
    {"cells": [{"cell_type": "code", "source": "total = 1 + 1\nprint(total)\n" * 5, "outputs": []}],
     "metadata": {"language_info": {"name": "python"}}, "nbformat": 4, "nbformat_minor": 4}
).encode()  # fmt: skip
PROSE = ("# Guide\n\n" + WORDS * 8).encode()
ORIGINS = {
    "https://example.org/a/one": {
        "a.py": b"x = 1\n", "package.json": JSON, "NOTES.YML": b"key: 1\n", "run.ipynb": NOTEBOOK,
        "docs/guide.md": PROSE, b"docs/\xff.md": PROSE + b"more\n", "LICENSE.md": PROSE + b"!", "vendor/x.md": PROSE,
    },
    "https://example.org/gone/two": {"package.json": JSON, "guide.md": PROSE, "b.py": b"y = 2\n"},
}  # fmt: skip
OVERRIDES = {
    "markup": {"enabled": True, "kinds": ["json", "yaml"]},
    "notebooks": {"enabled": True, "manifest": True},
    "documentation": {"enabled": True, "manifest": True},
}


def test_sources_say_what_is_fetched() -> None:
    wanted = load("tiny", OVERRIDES).other_files.wanted
    assert wanted[:2] == (".htm=documentation:254000000000", ".html=documentation:254000000000")
    assert ".ipynb=notebooks:0" in wanted
    assert ".json=json:8000000000" in wanted
    assert not load("tiny").other_files.wanted


def fetched(world: World, others: tuple[str, ...], opt_out: Path) -> Manifest:
    plan_fetch(
        world.folder("contents"), world.folder("file_manifest"), world.folder("plan"), params=Blobs(),
        config_digest="", license_types=[], opt_out=opt_out, others=others,
    )  # fmt: skip
    for key in world.keys:
        fetch_partition(
            world.folder("contents"), LocalBackend(world.folder("content")), world.folder("blobs", key),
            partition=key, params=Blobs(), config_digest="", plan=world.folder("plan"),
        )  # fmt: skip
    return Manifest(world.folder("file_manifest"), world.partitions("blobs"), opt_out)


def test_one_document_a_place_and_opted_out_ones_have_no_text(tmp_path: Path) -> None:
    world = make_world(tmp_path, ORIGINS)
    (tmp_path / "wishes").write_text("owner example.org/gone\n")
    opt_out = build_opt_out(tmp_path / "opt_out", file=str(tmp_path / "wishes"), config_digest="").path
    manifest = fetched(world, load("tiny", OVERRIDES).other_files.wanted, opt_out)
    assert set(manifest.inputs()) == {"file_manifest", "opt_out", "blobs/00-of-02", "blobs/01-of-02"}
    params = Markup(kinds=("json", "yaml"))
    documents = chain(
        read_markup(manifest_files(manifest, suffixes(params), lambda path: True), params),
        read_notebooks(manifest_notebooks(manifest), Notebooks(distributions=())),
        read_manifest(manifest, Documentation(distributions=())),
    )
    write_documents(
        tmp_path / "texts", documents, name="texts", keys=world.keys, block_bytes=1000, config_digest="", inputs={}
    )
    for key in world.keys:
        build_documents(
            manifest.file_manifest, world.folder("blobs", key), world.folder("documents", key), partition=key,
            params=world.config.documents, config_digest="", opt_out=opt_out, sources=[tmp_path / "texts"],
        )  # fmt: skip
    frame = world.read("documents", DOCUMENTS).filter(pl.col("source") != "swh")
    assert sorted(frame.select("source", "path", "status").iter_rows()) == [
        ("documentation", "docs/\\xff.md", "ok"),
        ("documentation", "docs/guide.md", "ok"),
        ("documentation", "guide.md", "opted_out"),
        ("markup", "NOTES.YML", "short"),
        ("markup", "package.json", "ok"),
        ("markup", "package.json", "opted_out"),
        ("notebook_scripts", "run.ipynb", "ok"),
        ("notebooks", "run.ipynb", "no_prose"),
    ]
    assert frame["document_id"].is_unique().all()
    assert frame["revision"].null_count() == 0
    assert frame.filter(pl.col("status") == "opted_out")["text"].null_count() == 2
    assert frame["swhid"].str.contains(";anchor=swh:1:rev:").all()


def test_what_is_not_wanted_is_not_fetched(tmp_path: Path) -> None:
    world = make_world(tmp_path, ORIGINS)
    for others, expected in (
        ((), {"a.py", "b.py", "LICENSE.md"}),
        ((".json=json:0",), {"a.py", "b.py", "LICENSE.md", "package.json"}),
        ((".json=json:10",), {"a.py", "b.py", "LICENSE.md"}),
    ):
        plan_fetch(
            world.folder("contents"), world.folder("file_manifest"), world.folder("plan"), params=Blobs(),
            config_digest="", license_types=[], others=others,
        )  # fmt: skip
        plan = read_table(world.folder("plan"), FETCH_PLAN)
        manifest = pl.read_parquet(world.folder("file_manifest") / "*.parquet").unique("sha1_git")
        found = plan.filter(pl.col("rule").is_null()).join(manifest, on="sha1_git")["name"].to_list()
        assert {name.decode() for name in found} == expected
        sampled = plan.filter(pl.col("rule") == "sampled_out").height
        assert sampled == (others == (".json=json:10",))


@pytest.mark.parametrize("limit", [0, 40, 100, 10_000])
def test_a_larger_sample_has_all_of_a_smaller_one(tmp_path: Path, limit: int) -> None:
    files: dict[str | bytes, bytes] = {f"{number}.json": b"x" * (number + 1) for number in range(30)}
    world = make_world(tmp_path, {"https://example.org/a": files})
    chosen = []
    for name, most in (("less", limit), ("more", limit + 60)):
        plan_fetch(
            world.folder("contents"), world.folder("file_manifest"), world.folder(name), params=Blobs(),
            config_digest="", license_types=[], others=[f".json=json:{most or 1}"],
        )  # fmt: skip
        plan = read_table(world.folder(name), FETCH_PLAN).filter(pl.col("rule").is_null())
        assert plan["length"].sum() <= (most or 1)
        chosen.append(set(plan["sha1_git"]))
    assert chosen[0] <= chosen[1]


CASES = {
    "json in the band": ("json", JSON.decode(), "ok"),
    "json under 50 characters": ("json", '{"a": "bcdefghijkl"}', "short"),
    "json over 5000 characters": ("json", json.dumps({"a": WORDS * 70}), "too_long"),
    "json of numbers": ("json", json.dumps(list(range(60))), "letters"),
    "json of 513 lines": ("json", "[\n" + "abcd,\n" * 511 + "abcd]", "too_long"),
    "json may have a long line": ("json", json.dumps({"a": "word " * 300}), "ok"),
    "yaml of plain keys": ("yaml", "name: thing\n" * 10, "ok"),
    "yaml with a line of 1001": ("yaml", "name: thing\n" * 30 + "k: " + "a" * 998, "lines"),
    "yaml with long lines": ("yaml", ("key: " + "word " * 25 + "\n") * 9, "lines"),
    "xml under another name": ("json", '<?xml version="1.0"?><a>' + WORDS + "</a>", "xml"),
    "the header after 100 characters": ("css", "a" * 100 + '<?xml version="1.0"?>', "ok"),
    "xml by name": ("xml", '<?xml version="1.0"?><a>' + WORDS + "</a>", "ok"),
    "a table of numbers": ("csv", "1,2,3\n" * 50, "letters"),
    "one letter in four": ("csv", "a123" * 10, "ok"),
    "a page to read": ("html", f"<html><head><title>t</title></head><body><p>{WORDS * 2}</p></body>", "ok"),
    "a page of 99 characters": ("html", f"<p>{'a' * 99}</p>", "boilerplate"),
    "a page of links": ("html", f"<p>{WORDS * 2}</p>" + '<a href="https://example.org/very/long">x</a>' * 60,
                        "boilerplate"),
    "a page of scripts": ("html", f"<script>{WORDS * 9}</script><p>short</p>", "boilerplate"),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "text", "expected"), CASES.values(), ids=CASES)
def test_star_coders_filters(kind: str, text: str, expected: str) -> None:
    assert judge(kind, text, PARAMS) == expected


def test_visible_text_of_a_page() -> None:
    assert num_visible_characters("<p>one <b>two</b></p>\n<style>no</style><script>no &lt;</script>three&amp;") == 12
    assert num_visible_characters("<p>never closed <script>if (a < b) { no }") == len("never closed")


def test_hostile_pages_take_no_time() -> None:
    started = time.process_time()
    for hostile in ("<!", "<!--", "<a b='", "<?", "<script>", "<b>", "x<", "<template>"):
        num_visible_characters(hostile * (300_000 // len(hostile)))
    assert time.process_time() - started < 2
    assert num_visible_characters('<?xml version="1.0" encoding="utf-8"?><html><body>é</body></html>') == 1


def test_kinds_by_name() -> None:
    params = Markup(kinds=("yaml", "toml", "html"))
    names = ("a/B.YML", "x.toml", "i.htm", "x.yaml.py", "toml")
    assert [kind_of(path, params) for path in names] == ["yaml", "toml", "html", "", ""]
