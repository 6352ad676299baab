"""The quality_model artefact: examples chosen, a model trained, calibrated and judged on contents of its own."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from minicode_assets.config import QualityModel
from minicode_assets.corpus.annotate.sidecar import read_documents, read_sidecar
from minicode_assets.corpus.quality import (
    Floats,
    features_of,
    fit_isotonic,
    fit_platt,
    fit_weights,
    order_of,
    reliability,
    split_of,
)
from minicode_assets.errors import CorpusError
from minicode_assets.schemas import HEURISTICS, LANGUAGE, LICENSE
from minicode_model.artifact import Artifact, open_artifact, write_artifact

SIGNALS = {"language": LANGUAGE, "license": LICENSE, "heuristics": HEURISTICS}
"""The sidecars that tell what is well kept."""
WEIGHTS, CURVE, REPORT = "weights.npy", "curve.npy", "report.json"


def build_quality_model(
    documents: Sequence[Path],
    signals: Mapping[str, Sequence[Path]],
    folder: Path,
    *,
    params: QualityModel,
    config_digest: str,
) -> Artifact:
    """After this, `folder` holds a quality classifier and the report on it.

    Args:
        documents: The partitions of the documents.
        signals: The same partitions of each asset in SIGNALS.
        folder: The artefact folder.
        params: The `quality_model` section.
        config_digest: Digest of the sections that shape the asset.

    Returns:
        The artefact: WEIGHTS (2^num_bits + 1 float32), CURVE (logits and probabilities, 2 rows), REPORT. With too few
        examples there is only REPORT, whose `status` is `untrained`. Metadata: trained, num_examples, auc,
        calibration_error.

    Raises:
        CorpusError: The table of labels can't be read, or sidecars are out of step.
        MissingArtifactError, CorruptArtifactError: An input is absent or differs from its manifest.
        StorageError: `folder` can't be written.
    """
    folders = {"documents": documents, **signals}
    inputs = {
        f"{name}/{path.name}": open_artifact(path, verify=False).digest for name in folders for path in folders[name]
    }
    read = () if params.labels else tuple(SIGNALS)
    examples = _choose(
        pl.concat(
            [
                _candidates(path, {name: signals[name][part] for name in read}, params).with_columns(part=part)
                for part, path in enumerate(documents)
            ]
        ),
        params,
    )
    texts = _texts_of(examples, documents)
    arrays, report = _train(texts, params)
    with write_artifact(folder, name="quality_model", config_digest=config_digest, inputs=inputs) as writer:
        for name, array in arrays.items():
            np.save(writer.path / name, array)
        (writer.path / REPORT).write_text(json.dumps(report, indent=1, sort_keys=True) + "\n")
        judged = report.get("test", {})
        writer.metadata = {
            "trained": bool(arrays),
            "num_examples": texts.height,
            **{name: judged[name] for name in ("auc", "calibration_error") if judged.get(name) is not None},
        }
    return open_artifact(folder, verify=False)


def _texts_of(examples: pl.DataFrame, documents: Sequence[Path]) -> pl.DataFrame:
    """The examples with their texts, in their order."""
    parts = [
        read_documents(path, ["document_id", "text"]).join(
            examples.filter(pl.col("part") == part), on="document_id", maintain_order="right"
        )
        for part, path in enumerate(documents)
    ]
    return pl.concat(parts).sort("order")


def _candidates(documents: Path, signals: Mapping[str, Path], params: QualityModel) -> pl.DataFrame:
    """document_id, sha1_git and label of the documents with a text; the label of the proxy is null where undecided."""
    frame = read_documents(documents, ["document_id", "sha1_git", "status"])
    if params.labels:
        return frame.filter(pl.col("status") == "ok").join(_labels(params.labels), on="sha1_git").drop("status")
    told = [
        read_sidecar(signals[name], table, frame["document_id"]).drop("document_id") for name, table in SIGNALS.items()
    ]
    well_kept = (
        (pl.col("license_type") == "permissive")
        & pl.col("parses")
        & ~pl.col("is_generated")
        & ~pl.col("is_vendored")
        & (pl.col("num_functions") > 0)
        & (pl.col("docstring_fraction") >= params.min_docstring_fraction)
        & (pl.col("duplicate_line_fraction") <= params.max_duplicate_line_fraction)
    ).fill_null(False)
    joined = pl.concat([frame, *told], how="horizontal").filter(pl.col("status") == "ok")
    return joined.select("document_id", "sha1_git", label=well_kept.cast(pl.Float64))


def _labels(path: str) -> pl.DataFrame:
    """sha1_git and label from a CSV or Parquet file with the columns `swhid` or `sha1_git` (hex), and `label`."""
    try:
        frame = pl.read_parquet(path, glob=False) if path.endswith(".parquet") else pl.read_csv(path, glob=False)
        key = "swhid" if "swhid" in frame.columns else "sha1_git"
        hexadecimal = frame[key].cast(pl.String).str.extract(r"^(?:swh:1:cnt:)?([0-9a-f]{40})(?:;|$)")
        labels = frame["label"].cast(pl.Float64)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise CorpusError(
            f"{path}: no table of labels: {error}", hint="a CSV or Parquet file with the columns swhid and label (0..1)"
        ) from error
    if hexadecimal.null_count() or labels.null_count() or not labels.is_between(0, 1).all():
        raise CorpusError(
            f"{path}: found rows without a content's SWHID or with labels outside of 0..1", hint="mend these rows"
        )
    keys = pl.Series("sha1_git", [bytes.fromhex(key) for key in hexadecimal], dtype=pl.Binary)
    return pl.DataFrame([keys, labels.alias("label")]).unique("sha1_git", keep="first", maintain_order=True)


def _choose(candidates: pl.DataFrame, params: QualityModel) -> pl.DataFrame:
    """One row a content, in the order of hash(seed, sha1_git).

    With labels the first ones of all; else as many well-kept ones as random ones, where a well-kept content may be
    drawn as a random one too.
    """
    order = pl.Series("order", [order_of(key, params.seed) for key in candidates["sha1_git"]], dtype=pl.UInt64)
    frame = (
        candidates.with_columns(order)
        .sort("order", "document_id")
        .unique("sha1_git", keep="first", maintain_order=True)
    )
    if params.labels:
        return frame.head(params.max_examples)
    kept = frame.filter(pl.col("label") == 1)
    size = min(kept.height, frame.height - kept.height, params.max_examples // 2)
    # Random ones come from the other end of the order, so that the two samples meet late.
    random = frame.reverse().head(size).with_columns(label=pl.lit(0.0))
    return pl.concat([kept.head(size), random])


def _train(texts: pl.DataFrame, params: QualityModel) -> tuple[dict[str, Any], dict[str, Any]]:
    """(arrays by file name, report)."""
    features = features_of(
        [text.encode() for text in texts["text"]], max_ngram_words=params.max_ngram_words, num_bits=params.num_bits
    )
    labels = texts["label"].to_numpy()
    splits = np.array([split_of(key, params.seed) for key in texts["sha1_git"]], dtype=object)
    counts = {
        split: [int((labels[splits == split] >= 0.5).sum()), int((labels[splits == split] < 0.5).sum())]
        for split in ("train", "calibrate", "test")
    }
    report: dict[str, Any] = {"labels": params.labels or "well kept against random", "num_positive_negative": counts}
    if min(min(pair) for pair in counts.values()) < params.min_examples:
        return {}, report | {"status": "untrained", "why": f"fewer than {params.min_examples} of a kind in a split"}
    weights = fit_weights(*_rows(features, labels, splits == "train"), params)
    logits = features.dot(weights[:-1]) + weights[-1]
    fit = fit_isotonic if params.calibration == "isotonic" else fit_platt
    curve = np.stack(fit(logits[splits == "calibrate"], labels[splits == "calibrate"]))
    is_test = splits == "test"
    judged = reliability(np.interp(logits[is_test], *curve), labels[is_test])
    raw = reliability(1 / (1 + np.exp(-logits[is_test])), labels[is_test])
    report |= {"status": "trained", "calibration": params.calibration, "test": judged, "test_uncalibrated": raw}
    return {WEIGHTS: weights.astype(np.float32), CURVE: curve}, report


def _rows(features: Any, labels: Floats, chosen: Any) -> tuple[Any, Floats]:
    """The rows of some examples."""
    sizes = np.diff(features.offsets)
    picked = type(features)(features.buckets[np.repeat(chosen, sizes)], np.concatenate(([0], np.cumsum(sizes[chosen]))))
    return picked, labels[chosen]
