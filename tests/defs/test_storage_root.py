"""The whole chain with a bucket as storage root: nothing but the bucket is carried from one step to the next."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Home
from tests.defs.test_chain import folders
from tests.s3_server import s3_server


@pytest.fixture
def bucket() -> Iterator[dict[str, str]]:
    """A real S3 server with one bucket, as the environment of those who use it."""
    with s3_server("lake") as endpoint:
        yield {
            "AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1", "AWS_ALLOW_HTTP": "true", "MINICODE_STORAGE": "s3://lake/minicode",
        }  # fmt: skip


FORGETFUL = """
import shutil, sys
from minicode_assets.defs.driver import Driver
from minicode_assets.defs.instance import ready_instance
from minicode_assets.defs.settings import from_environment
from minicode_assets.definitions import build_definitions

class Forgetful(Driver):
    def _execute(self, step):
        for path in self.layout.root.iterdir():
            if path.name != ".lock":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        super()._execute(step)

settings = from_environment()
with ready_instance() as instance:
    print(Forgetful(build_definitions(settings), settings, instance).materialize().num_materialized)
"""


@pytest.mark.slow
def test_every_step_on_an_empty_machine(finished: Home, home: Home, bucket: dict[str, str]) -> None:
    """Each run starts with an empty data folder, as on another node: every input is declared, and the bytes agree."""
    made = home.run(sys.executable, "-c", FORGETFUL, env=bucket)
    assert int(made.stdout.split()[-1]) > 20
    again = home.minicode("materialize", env=bucket)
    assert ": 0 asset partition(s) made" in again.stderr
    shutil.rmtree(home.data)
    report = home.minicode("report", env=bucket).stdout
    assert "bits per byte" in report
    assert dict(bucket_digests(bucket, home.data)) == folders(finished)


def bucket_digests(bucket: dict[str, str], data: Path) -> Iterator[tuple[str, str]]:
    import obstore
    from obstore.store import S3Store

    from minicode_model.artifact import parse_manifest

    store = S3Store(
        "lake",
        prefix="minicode",
        endpoint=bucket["AWS_ENDPOINT_URL"],
        access_key_id="someone",
        secret_access_key="secret",
        region="us-east-1",
        client_options={"allow_http": True},
    )
    for page in obstore.list(store):
        for entry in page:
            path = entry["path"]
            if path.endswith("/manifest.json") and "/generations/" not in path:
                raw = bytes(obstore.get(store, path).bytes())
                yield path.removesuffix("/manifest.json"), parse_manifest(data / path, raw).digest
