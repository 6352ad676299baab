"""Verdicts before the fetch: the same as the sidecar's after it, and only what they allow costs a request."""

from pathlib import Path

import polars as pl
import pytest

from minicode_assets.blobs.plan import plan_fetch
from minicode_assets.blobs.store import fetch_licenses, fetch_partition
from minicode_assets.corpus.annotate.license_files import detect_partition
from minicode_assets.corpus.annotate.origin_licenses import judge_origins
from minicode_assets.parquet import read_table
from minicode_assets.schemas import BLOBS, DOCUMENTS, FETCH_PLAN, LICENSE, ORIGIN_LICENSES
from minicode_assets.sources.swh import build_documents
from tests.blobs.archive_server import ArchiveServer, Stored
from tests.blobs.tables import api
from tests.corpus.test_license import TEXTS
from tests.corpus.worlds import World, make_world

ORIGINS = {
    "https://example.org/mit": {
        "LICENSE": TEXTS["MIT"], "a.py": b"a = 1\n", "b/c/d.py": b"d = 1\n", "b/ÿ/e.py": b"e = 1\n",
        "gpl/COPYING": TEXTS["GPL-3.0-only"], "gpl/f.py": b"f = 1\n", "gpl/deep/g.py": b"g = 1\n",
    },
    "https://example.org/gpl": {"COPYING": TEXTS["GPL-3.0-only"], "h.py": b"h = 1\n", "a.py": b"a = 1\n"},
    "https://example.org/none": {"i.py": b"i = 1\n", "lib/LICENSE": TEXTS["MIT"], "lib/j.py": b"j = 1\n"},
}  # fmt: skip


def two_steps(world: World, server: ArchiveServer) -> pl.DataFrame:
    """Licences, verdicts, plan, the rest: as the assets do it; returns the plan."""
    manifest, contents, params = world.folder("file_manifest"), world.folder("contents"), world.config.blobs
    backend = api(server, world.root / "log.sqlite")
    for key in world.keys:
        fetch_licenses(contents, manifest, backend, world.folder("license_blobs", key), partition=key, params=params,
                       config_digest="")  # fmt: skip
        detect_partition(world.folder("license_blobs", key), contents, world.folder("license_files", key),
                         partition=key, params=world.config.license_files, config_digest="")  # fmt: skip
    judge_origins(manifest, world.partitions("license_files"), world.folder("origin_licenses"),
                  params=world.config.license, config_digest="")  # fmt: skip
    plan_fetch(
        contents, manifest, world.folder("fetch_plan"), params=params, config_digest="",
        license_types=world.config.fetch_plan.license_types, origin_licenses=world.folder("origin_licenses"),
        store=world.partitions("license_blobs"),
    )  # fmt: skip
    for key in world.keys:
        fetch_partition(contents, backend, world.folder("blobs", key), partition=key, params=params, config_digest="",
                        plan=world.folder("fetch_plan"), store=[world.folder("license_blobs", key)])  # fmt: skip
        build_documents(manifest, world.folder("blobs", key), world.folder("documents", key), partition=key,
                        params=world.config.documents, config_digest="")  # fmt: skip
    return read_table(world.folder("fetch_plan"), FETCH_PLAN)


def test_each_content_costs_one_request_and_only_where_the_licence_allows_it(tmp_path: Path) -> None:
    world = make_world(tmp_path, ORIGINS)
    bodies = {body for files in ORIGINS.values() for body in files.values()}
    with ArchiveServer([Stored(body) for body in bodies]) as server:
        plan = two_steps(world, server)
    wanted = {body for body in bodies if len(body) > 10} | {b"a = 1\n", b"d = 1\n", b"e = 1\n", b"j = 1\n"}
    assert {server.by_sha1_git[sha1_git].body for sha1_git in server.delivered} == wanted
    assert server.num_requests == len(wanted), "licence files are not asked for again"
    blobs = world.read("blobs", BLOBS)
    assert set(blobs["data"]) == wanted
    assert plan.filter(pl.col("rule") == "license").height == 4
    documents = world.read("documents", DOCUMENTS)
    statuses = dict(documents.group_by("status").agg(pl.col("path").sort()).iter_rows())
    assert statuses == {
        "ok": ["a.py", "a.py", "b/c/d.py", "b/ÿ/e.py", "lib/j.py"],
        "not_fetched": ["gpl/deep/g.py", "gpl/f.py", "h.py", "i.py"],
    }


@pytest.mark.parametrize("files", ORIGINS.values(), ids=lambda files: next(iter(files)))
def test_verdict_is_the_sidecars(tmp_path: Path, files: dict[str, bytes]) -> None:
    """Oracle: the license annotator, on documents without a tag of their own."""
    world = make_world(tmp_path, {"https://example.org/x": files}).licenses()
    judge_origins(world.folder("file_manifest"), world.partitions("license_files"), world.folder("origin_licenses"),
                  params=world.config.license, config_digest="")  # fmt: skip
    verdicts = {row["folder"]: row for row in read_table(world.folder("origin_licenses"), ORIGIN_LICENSES).to_dicts()}
    documents = world.read("documents", DOCUMENTS).select("document_id", "path")
    sidecar = world.read("license", LICENSE).join(documents, on="document_id")
    assert sidecar.height >= 2
    for row in sidecar.iter_rows(named=True):
        verdict = verdicts[row["path"].encode().rpartition(b"/")[0]]
        assert all(verdict[name] == row[name] for name in LICENSE.polars.names()[1:]), row["path"]
