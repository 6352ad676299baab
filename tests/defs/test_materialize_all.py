"""What "Materialize all" in the web UI asks for, names of partitions and all assets, in Dagster's own reading."""

import tomllib
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.execution.asset_backfill import AssetBackfillData
from dagster._time import get_current_timestamp

from minicode_assets.definitions import build_definitions
from minicode_assets.defs.settings import Settings
from minicode_assets.defs.stage import keys_of
from tests.conftest import SMALL


@pytest.mark.parametrize("overrides", [SMALL, ""], ids=["small", "tiny"])
def test_no_asset_is_left_out(tmp_path: Path, overrides: str) -> None:
    settings = Settings("tiny", tomllib.loads(overrides), tmp_path)
    graph = build_definitions(settings).resolve_implicit_global_asset_job_def().asset_layer.asset_graph
    keys = [key for key in graph.toposorted_asset_keys if graph.get(key).is_materializable]
    with dg.DagsterInstance.ephemeral() as instance:
        backfill = AssetBackfillData.from_asset_partitions(
            graph, keys_of(settings.config, "blobs"), keys, instance, get_current_timestamp(), all_partitions=False
        )
    assert backfill.target_subset.asset_keys == set(keys)
    for key in keys:
        wanted = keys_of(settings.config, key.path[-1])
        if wanted:
            assert sorted(backfill.target_subset.get_partitions_subset(key).get_partition_keys()) == wanted
