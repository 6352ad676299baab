"""Sources are read as often as configured, by exact counts, whole units only, the same in every run."""

import dataclasses
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicode_assets.config import TokenShards, load
from minicode_assets.errors import ConfigError, CorpusError
from minicode_assets.tokens.mixture import copies, epochs, shares
from minicode_assets.tokens.mixture_table import as_text, mixture_rows, phase_mixtures
from minicode_assets.tokens.write import write_token_shards
from minicode_model.artifact import Artifact
from tests.tokens.corpora import SMALL_SHARDS, small_encoded, small_home

AT_HAND = {"swh": 8000, "issues": 1000, "arxiv": 1000}


def params(**changes: object) -> TokenShards:
    return dataclasses.replace(TokenShards(), **changes)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"swh": 1, "issues": 1, "arxiv": 1}),
        ({"epochs": ("issues=2.5", "arxiv=0")}, {"swh": 1, "issues": 2.5, "arxiv": 0}),
        (
            {"mixing": "target", "target_shares": ("swh=0.6", "issues=0.4"), "mixture_tokens": 5000},
            {"swh": 0.375, "issues": 2.0, "arxiv": 0},
        ),
        ({"mixing": "target", "target_shares": ("swh=3", "arxiv=1")}, {"swh": 0.9375, "issues": 0, "arxiv": 2.5}),
        ({"mixing": "temperature"}, {"swh": 1, "issues": 1, "arxiv": 1}),
        ({"mixing": "temperature", "temperature": 0.001}, {"swh": 1.25, "issues": 0, "arxiv": 0}),
        ({"mixing": "temperature", "temperature": 1e9}, {"swh": 10 / 24, "issues": 10 / 3, "arxiv": 10 / 3}),
        ({"mixing": "temperature", "temperature": 1e-9}, {"swh": 1.25, "issues": 0, "arxiv": 0}),
    ],
)
def test_epochs(changes: dict[str, object], expected: dict[str, float]) -> None:
    assert epochs(AT_HAND, params(**changes)) == pytest.approx(expected)


def test_shares_add_up() -> None:
    for changes in ({"mixing": "temperature", "temperature": 2.0}, {"mixing": "target", "target_shares": ("swh=7",)}):
        assert sum(shares(AT_HAND, params(**changes)).values()) == pytest.approx(1)


def test_too_many_epochs_and_unknown_sources_are_refused() -> None:
    changes = {"mixing": "target", "target_shares": ("issues=1",)}
    with pytest.raises(
        CorpusError, match=r"'issues' is read 10.00 times .1000 tokens at hand., expected at most"
    ) as caught:
        epochs(AT_HAND, params(**changes))
    assert "hint: set mixture_tokens to 5000 or less" in str(caught.value)
    assert epochs(AT_HAND, params(**changes, mixture_tokens=5000))["issues"] == 5
    with pytest.raises(CorpusError, match="source 'isues' has no documents; did you mean 'issues'"):
        epochs(AT_HAND, params(epochs=("isues=1",)))


def test_the_table_says_what_each_phase_reads() -> None:
    config = load("mini")
    at_hand = {"swallow_code": 4_000_000_000, "swh": 250_000_000, "gsm8k": 1_000_000, "code_contests": 10_000_000,
               "rosetta_code": 20_000_000}  # fmt: skip
    rows = mixture_rows(at_hand, phase_mixtures(config))
    by_phase = {(row[0], row[1]): row for row in rows}
    assert by_phase["checkpoint", "gsm8k"][2:6] == ("1,000,000", "4", "4,000,000", "0.0010")
    assert by_phase["tuning", "swh"][2:] == ("250,000,000", "1", "250,000,000", "1.0000", "525,500,000,000", "0.8447")
    assert ("checkpoint", "swh") not in by_phase
    assert ("tuning", "swallow_code") not in by_phase
    # 8,000 steps of 2^19 tokens over 4,064 M
    assert by_phase["checkpoint", "all"][2:5] == ("4,064,000,000", "1.03", "4,194,304,000 trained on")
    assert by_phase["fine_tuning", "prompts and answers (corpus)"][4].endswith("trained on")
    assert len(as_text(rows).splitlines()) == len(rows) + 1


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=4), st.floats(0.1, 50), st.integers(0, 3))
def test_shares_of_the_mixture_are_those_asked_for(counts: list[int], temperature: float, chosen: int) -> None:
    at_hand = {f"source{number}": count for number, count in enumerate(counts)}
    total = sum(counts) // 2 + 1
    for changes, weights in (
        ({"mixing": "temperature", "temperature": temperature}, [count ** (1 / temperature) for count in counts]),
        ({"mixing": "target", "target_shares": (f"source{chosen % len(counts)}=2",)},
         [float(number == chosen % len(counts)) for number in range(len(counts))]),
    ):  # fmt: skip
        times = epochs(at_hand, params(**changes, mixture_tokens=total, max_epochs=1e9))
        read = [times[source] * count for source, count in at_hand.items()]
        assert sum(read) == pytest.approx(total)
        assert read == pytest.approx([total * weight / sum(weights) for weight in weights])


@given(st.lists(st.integers(1, 500), min_size=1, max_size=40), st.floats(0, 4), st.integers(0, 5))
def test_counts_are_as_near_as_whole_units_allow(sizes: list[int], times: float, seed: int) -> None:
    units = pl.DataFrame({"source": ["a"] * len(sizes), "unit": list(map(str, range(len(sizes)))), "num_tokens": sizes})
    chosen = copies(units, {"a": times}, seed=seed)
    assert set(chosen.values()) <= {int(times), int(times) + 1}
    got = sum(size * chosen["a", str(number)] for number, size in enumerate(sizes))
    assert abs(got - times * sum(sizes)) <= max(sizes) / 2 + 1e-6
    assert chosen == copies(units.reverse().sort("unit"), {"a": times}, seed=seed) or units.height > 10
    assert chosen == copies(units, {"a": times}, seed=seed)


def write(folder: Path, **changes: object) -> Artifact:
    home, encoded = small_home(), small_encoded()
    changed = dataclasses.replace(SMALL_SHARDS, **changes)
    return write_token_shards(encoded, home / "tokenizer", folder, params=changed, config_digest="")


@pytest.mark.parametrize(("context", "tolerance"), [(False, 0.1), (True, 0.45)])
def test_shards_hold_the_epochs(context: bool, tolerance: float, tmp_path: Path) -> None:
    """Within half a unit: a file, or one of the corpus's four repositories."""
    plain = {"repository_context": context, "metadata_rate": 0.0, "fim_rate": 0.0}
    once = write(tmp_path / "once", **plain)
    more = write(tmp_path / "more", **plain, epochs=("swh=2.5",))
    assert more.metadata["epochs"] == {"swh": 2.5}
    table = pl.read_parquet(tmp_path / "more" / "train" / "documents.parquet")
    counts = table.group_by("document_id").len()["len"]
    assert set(counts) <= {2, 3}
    ratio = more.metadata["train"]["num_tokens"] / once.metadata["train"]["num_tokens"]
    assert ratio == pytest.approx(2.5, abs=tolerance)
    assert more.digest == write(tmp_path / "again", **plain, epochs=("swh=2.5",)).digest
    assert more.metadata["validation"] == once.metadata["validation"]


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"mixing": "even"}, "mixing: found 'even', expected natural or target or temperature"),
        ({"epochs": ["swh"]}, "epochs: found 'swh', expected source=number"),
        ({"temperature": 0.0}, "temperature: found 0.0, expected more than 0"),
        ({"mixing": "target"}, "mixing target needs target_shares"),
        ({"epochs": ["swh=1", "swh=2"]}, "epochs: swh is there twice"),
        ({"seq_len": 31}, "seq_len: found 31, expected at least 32"),
        ({"shard_tokens": 511}, "shard_tokens: found 511, expected at least seq_len"),
        ({"mixing": "target", "target_shares": ["swh=0.0", "issues=0"]}, "one of them more than 0"),
        ({"layout": "starcoder"}, "layout starcoder needs"),
    ],
)
def test_contradictions(section: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load("tiny", {"token_shards": section})


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"extra_special_tokens": ["<0x41>", "<unk>", f"<{'漢' * 40}>"]}, "4 problem"),
        ({"character_coverage": 0.9}, "character_coverage: found 0.9, expected 0.98 to 1.0"),
        ({"max_piece_length": 513}, "max_piece_length: found 513, expected 1 to 512"),
    ],
)
def test_what_sentencepiece_refuses_is_refused_before(section: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load("tiny", {"tokenizer": section})
