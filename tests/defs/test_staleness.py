"""Dagster's own staleness: a threshold makes its asset stale, what follows it waits, and nothing beside it moves."""

import dataclasses
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.asset_graph_view.asset_graph_view import AssetGraphView
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.definitions.temporal_context import TemporalContext

from minicode_assets.config import ASSET_SECTIONS, TABLES, load, section_digest, section_names
from minicode_assets.definitions import build_definitions
from minicode_assets.defs.settings import Settings
from minicode_assets.defs.stage import PARTITIONED, code_version
from minicode_assets.layout import partition_keys
from minicode_model.config import is_operational
from tests.conftest import SMALL, Home


def stale(home: Home, overrides: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Assets that Dagster calls stale for a code reason of their own under changed thresholds."""
    merged = {**tomllib.loads(SMALL)}
    for section, values in overrides.items():
        merged[section] = {**merged.get(section, {}), **values}
    definitions = build_definitions(Settings("tiny", merged, home.data))
    graph = definitions.resolve_implicit_global_asset_job_def().asset_layer.asset_graph
    found = set()
    with dg.DagsterInstance.from_config(str(home.root / "dagster_home")) as instance:
        now = TemporalContext(effective_dt=datetime.now(UTC), last_event_id=None)
        view = AssetGraphView(temporal_context=now, instance=instance, asset_graph=graph)
        resolver = CachingStaleStatusResolver(instance, graph, view)
        for name in ASSET_SECTIONS:
            for key in partition_keys(2) if name in PARTITIONED else [None]:
                status = resolver.get_status(dg.AssetKey(name), key)
                assert status != StaleStatus.MISSING
                causes = resolver.get_stale_causes(dg.AssetKey(name), key)
                if any(cause.category.value == "CODE" and cause.asset_key.path[-1] == name for cause in causes):
                    found.add(name)
                else:
                    assert status == StaleStatus.FRESH or causes
    return found


def test_nothing_is_stale_after_a_run(finished: Home) -> None:
    assert stale(finished, {}) == set()


EVERYDAY: list[tuple[dict[str, dict[str, Any]], set[str]]] = [
    (
        {"license": {"ignorable": ["x"]}, "heuristics": {"long_word_length": 9}},
        {"origin_licenses", "license", "heuristics"},
    ),
    (
        {"automation": {"poll_s": 9}, "blobs": {"max_attempts": 9}, "checkpoint": {"checkpoint_every_steps": 6}},
        set(),
    ),
    ({"tokenizer": {"sample_bytes": 77_000}}, {"tokenizer"}),
]
"""Changed thresholds, and the assets that Dagster then calls stale."""
OTHERS: list[tuple[dict[str, dict[str, Any]], set[str]]] = [
    (
        {
            "archive": {"max_python_bytes": 2_999_999},
            "license_files": {"min_score_fraction": 0.8},
            "language": {"parse": False},
            "corpus": {"drop_unparsable": False},
            "blobs": {"max_length_bytes": 9},
            "near_dup": {"min_jaccard_fraction": 0.8},
            "contamination": {"max_problems": 4},
            "checkpoint": {"learning_rate": 1e-4},
            "sandbox": {"max_wall_s": 9.0},
        },
        {"archive", "license_files", "language", "license_blobs", "fetch_plan", "blobs", "minhash", "near_dup",
         "search_index", "contamination", "llm_rewrite", "corpus", "checkpoint", "benchmark_scores"},
    ),
    (
        {
            "tables": {"all_columns": True, "num_connections": 9},
            "branch_heads": {"branches": ["refs/heads/main"]},
            "documents": {"max_length_bytes": 9},
            "corpus": {"max_lines": 77},
            "token_shards": {"fim_rate": 0.25},
            "benchmark_scores": {"num_lines": 5},
        },
        {*(f"swh_{table}" for table in TABLES), "branch_heads", "documents", "corpus", "token_shards",
         "benchmark_scores"},
    ),
    (
        {
            "file_manifest": {"max_depth": 63},
            "fetch_plan": {"license_types": ["permissive", "no_license"]},
            "exact_dup": {"keep_order": ["path"]},
            "benchmarks": {"id_fields": ["task_id"]},
            "model": {"intermediate_size": 96},
            "evaluation": {"temperature": 0.9},
        },
        {"file_manifest", "fetch_plan", "exact_dup", "benchmarks", "checkpoint", "evaluation"},
    ),
]  # fmt: skip
"""The same of every other section; `test_the_matrix_of_fields_and_assets` has each field alone."""


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [*EVERYDAY, *(pytest.param(*case, marks=pytest.mark.slow) for case in OTHERS)],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_threshold_makes_exactly_its_asset_stale(
    finished: Home, overrides: dict[str, dict[str, Any]], expected: set[str]
) -> None:
    assert stale(finished, overrides) == expected


def test_what_a_named_file_holds_is_configuration(finished: Home, tmp_path: Path) -> None:
    """The same path, other content: exactly what reads the file is stale; new texts are scanned by the rules too."""
    wishes, problems, rules, labels = (tmp_path / name for name in ("wishes", "own.jsonl", "own.yar", "labels.csv"))
    settings = {
        "opt_out": {"file": str(wishes)},
        "benchmarks": {"files": [str(problems)]},
        "malware": {"yara_files": ["minicode", str(rules)]},
        "quality_model": {"labels": str(labels)},
    }
    read_by = ["opt_out", "benchmarks", "malware", "quality_model"]
    digests = []
    for content in ("path a", "path b", "path b"):
        for file in (wishes, problems, rules, labels):
            file.write_text(content)
        config = load("tiny", settings)
        digests.append([section_digest(config, name) for name in (*read_by, "fetch_plan", "corpus")])
    assert [a == b for a, b in zip(*digests[:2], strict=True)] == [False] * 4 + [True] * 2
    assert digests[1] == digests[2]
    assert stale(finished, settings) == {*read_by, "quality", "llm_rewrite"}


def moved(value: Any) -> Any:
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, tuple):
        return (*value, "another")
    return value + "another" if isinstance(value, str) else value + 1


@pytest.mark.parametrize("section", section_names())
def test_the_matrix_of_fields_and_assets(section: str) -> None:
    """Every field of every section: the assets that name the section change their code version, and no other does."""
    config = load()
    before = {asset: code_version(config, asset) for asset in ASSET_SECTIONS}
    named = {asset for asset, sections in ASSET_SECTIONS.items() if section in sections}
    found, expected = {}, {}
    for field in dataclasses.fields(getattr(config, section)):
        values = {field.name: moved(getattr(getattr(config, section), field.name))}
        after = dataclasses.replace(config, **{section: dataclasses.replace(getattr(config, section), **values)})
        found[field.name] = {asset for asset in before if code_version(after, asset) != before[asset]}
        expected[field.name] = set() if is_operational(field) else named
    assert found == expected


@pytest.mark.slow
def test_identical_bytes_leave_what_follows_fresh(finished: Home, tmp_path: Path) -> None:
    """A moved threshold that changes no byte rebuilds its own asset and nothing after it."""
    from tests.defs.test_chain import copy_of

    home = copy_of(finished, tmp_path)
    home.configure(SMALL.replace("[corpus]\n", "[corpus]\nmax_lines = 99_999\n"))
    done = home.minicode("materialize")
    assert ": 1 asset partition(s) made" in done.stderr, done.stderr
    assert "corpus" in done.stderr


@pytest.mark.slow
def test_a_run_with_its_own_configuration_says_so(finished: Home, tmp_path: Path) -> None:
    """A threshold chosen in the launchpad: stale against the loaded configuration, fresh against its own."""
    from tests.defs.test_chain import copy_of

    home = copy_of(finished, tmp_path)
    settings = Settings("tiny", tomllib.loads(SMALL), home.data)
    overrides = {**settings.overrides, "heuristics": {"long_word_length": 21}}
    pipeline = {"preset": "tiny", "data_folder": str(home.data), "overrides": overrides}
    job = build_definitions(settings).resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.from_config(str(home.root / "dagster_home")) as instance:
        for key in partition_keys(2):
            result = job.execute_in_process(
                instance=instance,
                asset_selection=[dg.AssetKey("heuristics")],
                partition_key=key,
                run_config={"resources": {"pipeline": {"config": pipeline}}},
            )
            assert result.success
    assert stale(home, {}) == {"heuristics"}
    assert stale(home, {"heuristics": {"long_word_length": 21}}) == set()
