"""Documents as tokens, and where each token of a shard is from."""

import polars as pl

from minicode_assets.schemas.table import table

ENCODED_DOCUMENTS = table(
    "encoded_documents",
    ("document_id", pl.String, "documents.document_id"),
    ("source", pl.String, "documents.source"),
    ("swhid", pl.String, "Qualified SWHID"),
    ("origin_url", pl.String, "origin.url"),
    ("path", pl.String, "Path"),
    ("license_expression", pl.String, "SPDX expression; null where there is none"),
    ("num_bytes", pl.Int64, "Bytes of the text, marks of special tokens not counted"),
    ("num_tokens", pl.Int64, "Tokens, the special token that it begins with included"),
    ("tokens", pl.Binary, "Their ids, little-endian uint16, or uint32 where the vocabulary exceeds 65,536"),
    key="document_id",
    order="origin_url path",
)
TOKEN_DOCUMENTS = table(
    "token_documents",
    ("document", pl.Int64, "Number of the document (training example) in its split, from 0"),
    ("example_id", pl.String, "A document_id, or an origin URL where a repository is one example"),
    ("token_start", pl.Int64, "First token of the file within the document: its <file_sep> or other lead"),
    ("num_tokens", pl.Int64, "Tokens of the file, special tokens included"),
    ("num_bytes", pl.Int64, "Bytes of text that they stand for, the path where shown included"),
    ("document_id", pl.String, "documents.document_id"),
    ("source", pl.String, "documents.source"),
    ("swhid", pl.String, "Qualified SWHID"),
    ("origin_url", pl.String, "origin.url"),
    ("path", pl.String, "Path"),
    ("license_expression", pl.String, "SPDX expression; null where there is none"),
    key="document token_start",
    order="document token_start",
)
