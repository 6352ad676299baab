"""The quality classifier: it learns what can be learnt, its probabilities can be believed, order changes nothing."""

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicode_assets.config import QualityModel, load
from minicode_assets.corpus.annotate import quality as annotator
from minicode_assets.corpus.quality import (
    features_of,
    fit_isotonic,
    fit_platt,
    fit_weights,
    order_of,
    reliability,
    split_of,
)
from minicode_assets.corpus.quality_model import REPORT, build_quality_model
from minicode_assets.errors import ConfigError, CorpusError
from minicode_assets.parquet import read_table
from minicode_assets.schemas import DOCUMENTS, QUALITY
from minicode_model.artifact import open_artifact
from tests.corpus.worlds import documents_of

PARAMS = QualityModel(num_bits=14, num_steps=60, min_examples=10)


def text_of(good: bool, number: int) -> str:
    """Good texts say `return` and have a docstring; bad ones say `global`; all share other words."""
    source = np.random.default_rng(number)
    words = " ".join(f"x{n}" for n in source.integers(0, 40, 12))
    return (
        f'def f():\n    """Documented {number}."""\n    return {words!r}\n'
        if good
        else f"global y{number}\ny = {words!r}\n"
    )


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    root = tmp_path_factory.mktemp("quality")
    documents = documents_of(
        {f"f{n}.py": text_of(n % 2 == 0, n) for n in range(300)} | {"none.py": None}, root / "documents"
    )
    frame = read_table(documents, DOCUMENTS).drop_nulls("text")
    labels = frame.select("swhid", label=pl.col("text").str.starts_with("def").cast(pl.Float64))
    labels.write_csv(root / "labels.csv")
    return root


def build(root, name, params, documents=None):
    return build_quality_model(
        [documents or root / "documents"], {"language": [], "license": [], "heuristics": []},
        root / name, params=params, config_digest="",
    )  # fmt: skip


def test_it_learns_from_labels_and_says_how_well(labelled):
    params = QualityModel(num_bits=14, num_steps=60, min_examples=10, labels=str(labelled / "labels.csv"))
    artifact = build(labelled, "model", params)
    report = json.loads((artifact.path / REPORT).read_text())
    assert report["status"] == "trained"
    assert report["test"]["auc"] > 0.99
    assert report["test"]["calibration_error"] < 0.1
    assert sum(row["num_documents"] for row in report["test"]["bins"]) == report["test"]["num_documents"] > 40
    assert build(labelled, "again", params).digest == artifact.digest
    annotator.annotate(
        labelled / "documents", labelled / "quality", model=artifact.path, params=params, config_digest=""
    )
    frame = read_table(labelled / "documents", DOCUMENTS).join(
        read_table(labelled / "quality", QUALITY), on="document_id"
    )
    good = frame.filter(pl.col("text").str.starts_with("def"))["quality_score"]
    bad = frame.filter(pl.col("text").str.starts_with("global"))["quality_score"]
    assert good.mean() > 0.9
    assert bad.mean() < 0.1
    assert frame.filter(pl.col("text").is_null())["quality_score"].to_list() == [None]


def test_too_few_examples_give_no_scores(tmp_path):
    documents = documents_of({"a.py": "def f(): pass\n"}, tmp_path / "documents")
    sha1_git = read_table(documents, DOCUMENTS)["sha1_git"][0].hex()
    (tmp_path / "labels.csv").write_text(f"sha1_git,label\n{sha1_git},1\n")
    params = QualityModel(labels=str(tmp_path / "labels.csv"))
    artifact = build(tmp_path, "model", params)
    assert artifact.metadata["trained"] is False
    annotator.annotate(documents, tmp_path / "quality", model=artifact.path, params=params, config_digest="")
    assert read_table(tmp_path / "quality", QUALITY)["quality_score"].to_list() == [None]


@pytest.mark.parametrize(
    "content", ["label\n1\n", "swhid,label\nswh:1:rev:00,1\n", "sha1_git,label\n" + "a" * 40 + ",7\n"]
)
def test_bad_labels_are_told(tmp_path, content):
    documents_of({"a.py": "x = 1\n"}, tmp_path / "documents")
    (tmp_path / "labels.csv").write_text(content)
    with pytest.raises(CorpusError, match="labels"):
        build(tmp_path, "model", QualityModel(labels=str(tmp_path / "labels.csv")))


def test_the_sparse_products_are_the_dense_ones():
    features = features_of([b"a b c a", b"", b"b d"], max_ngram_words=2, num_bits=6)
    dense = np.zeros((3, 64))
    for row in range(3):
        entries = slice(features.offsets[row], features.offsets[row + 1])
        dense[row, features.buckets[entries]] = features.values[entries]
    assert np.allclose((dense**2).sum(1), [1, 0, 1])
    source = np.random.default_rng(1)
    weights, rows = source.normal(size=64), source.normal(size=3)
    assert np.allclose(features.dot(weights), dense @ weights)
    assert np.allclose(features.transposed_dot(rows, 64), dense.T @ rows)


@pytest.mark.slow
def test_the_weights_minimise_the_loss():
    """Against plain gradient descent on the dense matrix."""
    features = features_of([b"a b", b"a c", b"d b", b"d c"], max_ngram_words=1, num_bits=5)
    labels = np.array([1.0, 1.0, 0.0, 0.3])
    params = QualityModel(num_bits=5, num_steps=3000, learning_rate=0.05, l2_penalty=0.01)
    found = fit_weights(features, labels, params)
    weights, bias = np.zeros(32), 0.0
    for _ in range(20_000):
        residual = (1 / (1 + np.exp(-(features.dot(weights) + bias))) - labels) / 4
        weights -= 0.5 * (features.transposed_dot(residual, 32) + 0.01 * weights)
        bias -= 0.5 * residual.sum()
    assert np.allclose(found, np.append(weights, bias), atol=0.02)


@given(st.lists(st.tuples(st.floats(-5, 5), st.booleans()), min_size=2, max_size=40))
def test_calibration_is_monotonic(rows):
    logits, labels = np.array([r[0] for r in rows]), np.array([float(r[1]) for r in rows])
    for fit in (fit_platt, fit_isotonic):
        points, chances = fit(logits, labels)
        assert (np.diff(points) >= 0).all()
        assert (np.diff(chances) >= -1e-12).all()
        assert ((chances >= 0) & (chances <= 1)).all()


def test_isotonic_is_the_best_monotonic_fit():
    logits, labels = np.arange(6.0), np.array([0, 1, 0, 0, 1, 1.0])
    points, chances = fit_isotonic(logits, labels)
    assert np.allclose(chances, [0, 1 / 3, 1])
    assert np.allclose(points, [0, 2, 4.5])


def test_overconfident_scores_are_mended():
    source = np.random.default_rng(3)
    truth = source.uniform(-2, 2, 4000)
    labels = (source.uniform(size=4000) < 1 / (1 + np.exp(-truth))).astype(float)
    loud = 5 * truth
    for fit in (fit_platt, fit_isotonic):
        curve = fit(loud[:2000], labels[:2000])
        before = reliability(1 / (1 + np.exp(-loud[2000:])), labels[2000:])
        after = reliability(np.interp(loud[2000:], *curve), labels[2000:])
        assert after["calibration_error"] < 0.05 < before["calibration_error"]
        assert after["brier"] < before["brier"]


def test_auc_by_counting():
    scores, labels = np.array([0.1, 0.4, 0.4, 0.8]), np.array([0, 0, 1, 1.0])
    assert reliability(scores, labels)["auc"] == (1 + 0.5 + 1 + 1) / 4
    assert reliability(scores, np.ones(4))["auc"] is None


def test_splits_depend_on_the_content_alone():
    keys = [bytes([n % 256, n // 256]) for n in range(3000)]
    shares = [sum(split_of(key, 7) == split for key in keys) / 3000 for split in ("train", "calibrate", "test")]
    assert np.allclose(shares, [0.6, 0.2, 0.2], atol=0.03)
    assert order_of(b"a", 1) != order_of(b"a", 2)
    first = sorted(keys, key=lambda key: order_of(key, 7))[:300]
    assert {split_of(key, 7) for key in first} == {"train", "calibrate", "test"}, "those drawn first are in all splits"


def test_the_proxy_in_a_world(tmp_path):
    from tests.corpus.worlds import MIT_METADATA, make_world

    files = {f"m{n}.py": text_of(n % 2 == 0, n).encode() for n in range(260)} | {"METADATA": MIT_METADATA}
    world = make_world(tmp_path, {"https://example.org/a": files}).change("quality_model", min_examples=5, num_bits=12)
    world.annotate()
    report = json.loads((world.folder("quality_model") / REPORT).read_text())
    assert report["status"] == "trained"
    assert report["labels"] == "well kept against random"
    assert report["test"]["auc"] > 0.55, "half of the random ones are well kept too, so 0.75 is the most"
    assert open_artifact(world.folder("quality_model")).metadata["trained"]


def test_a_table_without_rows_is_never_learnt_from():
    with pytest.raises(ConfigError, match="min_examples: found 0, expected more than 0"):
        load("tiny", {"quality_model": {"min_examples": 0}})
