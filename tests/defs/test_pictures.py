"""Each picture that a person looks for is recorded with its asset, as an image that the web UI shows."""

import base64

import dagster as dg
import pytest

from tests.conftest import Home

PICTURES = [
    ("corpus", "funnel_picture"),
    ("corpus", "left_picture"),
    ("license_files", "licenses"),
    ("license", "verdicts"),
    ("documents", "lengths"),
    ("token_shards", "tokens_by_source"),
    ("token_shards", "tokens_by_license"),
    ("checkpoint", "loss_curve"),
    ("evaluation", "bits_per_byte_picture"),
    ("leaderboard", "history"),
]


@pytest.mark.parametrize(("asset", "name"), PICTURES)
def test_an_asset_has_its_picture(finished: Home, asset: str, name: str) -> None:
    with dg.DagsterInstance.from_config(str(finished.root / "dagster_home")) as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey(asset))
    assert event
    assert event.asset_materialization
    before, _, image = str(event.asset_materialization.metadata[name].value).partition("base64,")
    assert before.endswith("](data:image/png;")
    picture = base64.b64decode(image.rpartition(")")[0])
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    width = int.from_bytes(picture[16:20], "big")
    assert width >= 300
