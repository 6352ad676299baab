"""The sample finds a changed blob, and every missing one is accounted for."""

from pathlib import Path

import polars as pl

from minicode_assets.blobs.backends import Absent
from minicode_assets.blobs.check import missing_reasons, rehash_sample
from minicode_assets.parquet import write_table
from minicode_assets.schemas import BLOBS
from tests.blobs.archive_server import make_contents
from tests.blobs.tables import fetch, read_blobs, write_contents
from tests.blobs.test_store import Scripted, bodies_of


def test_sample(tmp_path: Path) -> None:
    contents = make_contents(50)
    artifact = fetch(write_contents(tmp_path / "contents", contents), Scripted(bodies_of(contents)), tmp_path / "p")
    right = {"num_sampled": 20, "num_wrong": 0, "wrong": []}
    assert rehash_sample(artifact.path, num_blobs=20, seed=1) == right
    assert rehash_sample(artifact.path, num_blobs=500, seed=1)["num_sampled"] == 50
    changed = read_blobs(artifact.path).with_columns(
        data=pl.when(pl.int_range(pl.len()) == 3).then(pl.lit(b"changed")).otherwise(pl.col("data"))
    )
    write_table(tmp_path / "changed", changed, BLOBS, config_digest="", inputs={})
    found = rehash_sample(tmp_path / "changed", num_blobs=50, seed=1)
    assert found["num_wrong"] == 1
    assert changed["sha1_git"][3].hex() in found["wrong"][0]
    seen = [rehash_sample(tmp_path / "changed", num_blobs=10, seed=seed)["num_wrong"] for seed in range(30)]
    assert 0 < sum(seen) < 30, "a tenth to a third of the samples hold it: the seed matters"


def test_reasons(tmp_path: Path) -> None:
    contents = make_contents(6)
    ids = [stored.ids[0] for stored in contents]
    bodies = bodies_of(contents) | {
        ids[0]: Absent("missing", "unknown"),
        ids[1]: Absent("missing", "unknown"),
        ids[2]: b"four",
        ids[3]: b"seven..",
    }
    artifact = fetch(write_contents(tmp_path / "contents", contents), Scripted(bodies), tmp_path / "p")
    reasons = missing_reasons(artifact.path)
    assert reasons.select("status", "reason", "num_contents").rows() == [
        ("mismatch", "scripted: length found #, expected #", 2),
        ("missing", "scripted: unknown", 2),
    ]
    assert reasons["bytes"].sum() == sum(len(stored.body) for stored in contents[:4])
    assert reasons["example"][1] == min(ids[:2]).hex()
