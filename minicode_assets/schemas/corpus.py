"""Changed texts, the corpus, and what became of the rest."""

from dataclasses import replace

import polars as pl

from minicode_assets.schemas.table import table

CHANGED_TEXTS = table(
    "changed_texts",
    ("document_id", pl.String, "documents.document_id"),
    ("text", pl.String, "What the corpus gets instead of the document's text; null where that stays as it is"),
    ("changes", pl.List(pl.String), "Names of the steps that changed it, in order; empty where it stays as it is"),
    key="document_id",
)
REDACT = replace(CHANGED_TEXTS, name="redact")
REFORMAT = replace(CHANGED_TEXTS, name="reformat")
LLM_REWRITE = replace(CHANGED_TEXTS, name="llm_rewrite")
LLM_SCORES = table(
    "llm_scores",
    ("document_id", pl.String, "documents.document_id"),
    (
        "llm_status",
        pl.String,
        "off, length, unparsable, scored, rewritten, rejected (an unbelievable answer, or a text with a benchmark's "
        "task in it) or failed (none); null without text",
    ),
    ("score_fraction", pl.Float64, "Mean of the scores, 0..1; null without"),
    ("readability", pl.Int64, "0..10; null without scores, as the next ones"),
    ("modularity", pl.Int64, "0..10"),
    ("clarity", pl.Int64, "0..10"),
    ("reusability", pl.Int64, "0..10"),
    ("educational", pl.Int64, "0..10"),
    ("problem", pl.String, "What was wrong with the answer; null when nothing was"),
    key="document_id",
)
CORPUS = table(
    "corpus",
    ("document_id", pl.String, "documents.document_id"),
    ("source", pl.String, "documents.source; decides the format in training"),
    ("swhid", pl.String, "Qualified SWHID"),
    ("origin_url", pl.String, "origin.url"),
    ("path", pl.String, "Path"),
    ("license_expression", pl.String, "SPDX expression"),
    ("license_type", pl.String, "permissive, no_license or non_permissive"),
    ("license_evidence", pl.String, "Paths that decided the licence"),
    ("text_sha256", pl.Binary, "32 bytes, of the text in UTF-8"),
    ("parent_sha256", pl.Binary, "32 bytes, of the text in the archive that it was changed from; null if it wasn't"),
    ("changes", pl.List(pl.String), "Names of the steps that changed the text, in order"),
    ("length_bytes", pl.Int64, "Bytes of the text in UTF-8"),
    ("text", pl.String, "The text"),
    key="document_id",
    order="origin_url path",
)
DECISIONS = table(
    "decisions",
    ("document_id", pl.String, "documents.document_id"),
    ("sha1_git", pl.Binary, "20 bytes"),
    ("origin_url", pl.String, "origin.url"),
    ("path", pl.String, "Path"),
    ("length_bytes", pl.Int64, "Bytes of the blob"),
    ("kept", pl.Boolean, "In the corpus"),
    ("split", pl.String, "train or validation; null when dropped"),
    ("drop_reasons", pl.List(pl.String), "Every rule that dropped it, in rule order; empty when kept"),
    key="document_id",
)
FUNNEL = table(
    "funnel",
    ("step", pl.String, "all, then each rule in order, then kept"),
    ("num_documents", pl.Int64, "Documents that the rule drops (all, kept: that there are)"),
    ("length_bytes", pl.Int64, "Their bytes"),
    ("num_first", pl.Int64, "Documents for which it is the first reason"),
    ("num_left", pl.Int64, "Documents that neither this step nor one before it drops"),
    ("bytes_left", pl.Int64, "Their bytes"),
    ("tokens_left", pl.Int64, "Their tokens, estimated by bytes_per_token"),
    key="step",
)
