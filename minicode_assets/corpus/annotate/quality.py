"""The quality sidecar: the classifier's score of each document; off the drop path unless min_quality_score is set."""

from pathlib import Path

import numpy as np
import polars as pl

from minicode_assets.config import QualityModel
from minicode_assets.corpus.annotate.sidecar import read_documents, write_sidecar
from minicode_assets.corpus.quality import features_of
from minicode_assets.corpus.quality_model import CURVE, WEIGHTS
from minicode_assets.schemas import QUALITY
from minicode_model.artifact import Artifact, open_artifact


def annotate(documents: Path, folder: Path, *, model: Path, params: QualityModel, config_digest: str) -> Artifact:
    """After this, `folder` holds a quality score of each document.

    Args:
        documents: One partition of the documents.
        folder: The artefact folder of this partition.
        model: The quality_model artefact.
        params: The `quality_model` section, with which the model was trained.
        config_digest: Digest of the sections that shape the asset.

    Returns:
        The artefact; schema QUALITY, the documents' rows in order; null without text, and everywhere when the model is
        untrained. Metadata: num_scored.

    Raises:
        MissingArtifactError, CorruptArtifactError: An input is absent or differs from its manifest.
        StorageError: `folder` can't be written.
    """
    frame = read_documents(documents, ["document_id", "text"])
    scores = np.full(frame.height, np.nan)
    logits = np.full(frame.height, np.nan)
    has_text = frame["text"].is_not_null().to_numpy()
    if open_artifact(model).metadata["trained"]:
        weights = np.load(model / WEIGHTS).astype(np.float64)
        features = features_of(
            [text.encode() for text in frame["text"].drop_nulls()],
            max_ngram_words=params.max_ngram_words,
            num_bits=params.num_bits,
        )
        logits[has_text] = features.dot(weights[:-1]) + weights[-1]
        scores[has_text] = np.interp(logits[has_text], *np.load(model / CURVE))
    sidecar = frame.select("document_id").with_columns(
        pl.Series("quality_score", scores).fill_nan(None), pl.Series("quality_logit", logits).fill_nan(None)
    )
    return write_sidecar(
        folder,
        sidecar,
        QUALITY,
        document_ids=frame["document_id"],
        config_digest=config_digest,
        inputs={"documents": documents, "quality_model": model},
        metadata={"num_scored": sidecar["quality_score"].count()},
    )
