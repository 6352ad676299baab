"""Tables from elsewhere, through the assets: a published export mirrored from an S3-compatible server, and a folder."""

import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from tests.conftest import SMALL, Home
from tests.s3_server import put, s3_server

DATASET = "2019-01-28-popular-3k-python"
SELECT = "+file_manifest"


@pytest.fixture
def bucket(samples: Path) -> Iterator[str]:
    """Endpoint of moto's S3 server, which holds the sample export where the archive keeps the published one."""
    folder = samples / "swh" / "2019-01-28"
    with s3_server("softwareheritage") as endpoint:
        for path in folder.rglob("*.parquet"):
            key = f"graph/{DATASET}/parquet/{path.relative_to(folder).as_posix()}"
            put(endpoint, "softwareheritage", key, path.read_bytes())
        yield endpoint


def configure(home: Home, tables: str) -> None:
    home.configure(SMALL + f'\n[tables]\n{tables}\n[blobs]\ncontent_folder = "{home.root}"\n')


def assert_expected(home: Home, samples: Path) -> None:
    expected = pl.read_parquet(samples / "swh" / "expected_manifest.parquet")
    found = pl.read_parquet(home.data / "file_manifest" / "*.parquet").select(expected.columns)
    key = ["origin_url", "revision", "path"]
    assert found.sort(key).equals(expected.sort(key))


@pytest.mark.slow
def test_published_export_is_mirrored(home: Home, samples: Path, bucket: str) -> None:
    configure(home, f'export = "published"\naccept_terms = true\ns3_endpoint = "{bucket}"')
    assert "archive" not in home.minicode("materialize", "--list").stdout.split()
    done = home.minicode("materialize", "--select", SELECT)
    assert_expected(home, samples)
    assert (home.data / "mirror" / DATASET).is_dir()
    assert ": 11 asset partition(s) made" in done.stderr, done.stderr


def test_published_export_needs_accepted_terms(home: Home, samples: Path) -> None:
    configure(home, 'export = "published"')
    done = home.call("materialize", "--select", SELECT, check=False)
    assert done.status == 1
    assert "accept_terms" in done.stderr
    assert "hint:" in done.stderr
    assert not (home.data / "mirror").exists()


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["2019-01-28", "2021-03-23"])
def test_folder_of_either_generation_is_read_in_place(home: Home, samples: Path, layout: str) -> None:
    configure(home, f"export = {json.dumps(str(samples / 'swh' / layout))}")
    home.minicode("materialize", "--select", SELECT)
    assert_expected(home, samples)
