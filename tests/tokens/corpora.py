"""Real corpora for the tests of tokens: the standard library's files as a corpus artefact."""

import functools
import hashlib
import sysconfig
import tempfile
from collections.abc import Iterable
from pathlib import Path

import polars as pl

from minicode_assets.config import EncodedDocuments, TokenShards
from minicode_assets.config import Tokenizer as TokenizerParams
from minicode_assets.parquet import write_parquet
from minicode_assets.schemas import CORPUS
from minicode_assets.tokens.encoded import encode_corpus
from minicode_assets.tokens.format import File
from minicode_assets.tokens.source_formats import format_of
from minicode_assets.tokens.text import encode_parts
from minicode_assets.tokens.train import train_tokenizer
from minicode_model.artifact import write_artifact
from minicode_model.tokenizer import Tokenizer

Rows = Iterable[tuple[str, str, str]]
"""(origin_url, path, text)"""

SMALL_TOKENIZER = TokenizerParams(vocab_size=700, sample_bytes=300_000, character_coverage=0.999)
SMALL_SHARDS = TokenShards(seq_len=128, shard_tokens=200_000, num_workers=1)


def write_corpus(folder: Path, train: Rows, validation: Rows) -> Path:
    """A corpus artefact with these files."""
    with write_artifact(folder, name="corpus", config_digest="test", inputs={}) as writer:
        for split, rows in (("train", train), ("validation", validation)):
            (writer.path / split).mkdir()
            frame = pl.DataFrame([_row(*row) for row in rows], schema=CORPUS.polars).sort("origin_url", "path")
            half = -(-frame.height // 2)
            write_parquet(frame[:half], writer.path / split / "part-00000.parquet", CORPUS)
            write_parquet(frame[half:], writer.path / split / "part-00001.parquet", CORPUS)
    return folder


def _row(origin_url: str, path: str, text: str) -> dict[str, object]:
    raw = text.encode()
    sha1_git = hashlib.sha1(b"blob %d\0" % len(raw) + raw).hexdigest()
    swhid = f"swh:1:cnt:{sha1_git};origin={origin_url};path=/{path}"
    return {
        "document_id": hashlib.blake2b(swhid.encode(), digest_size=16).hexdigest(),
        "source": "swh",
        "swhid": swhid,
        "origin_url": origin_url,
        "path": path,
        "license_expression": "PSF-2.0" if path < "m" else "MIT",
        "license_type": "permissive",
        "license_evidence": "LICENSE",
        "text_sha256": hashlib.sha256(raw).digest(),
        "length_bytes": len(raw),
        "text": text,
    }


def library_files(*packages: str) -> list[tuple[str, str, str]]:
    """The Python files of standard library packages, one origin each."""
    root = Path(sysconfig.get_paths()["stdlib"])
    return [
        (f"pkg:generic/{package}@3.11", path.relative_to(root).as_posix(), path.read_bytes().decode())
        for package in packages
        for path in sorted((root / package).rglob("*.py"))
    ]


@functools.cache
def small_home() -> Path:
    """A folder with `corpus` (json, logging, email, html; validation wsgiref) and `tokenizer`, made once a session."""
    home = Path(tempfile.mkdtemp(prefix="minicode-tokens-"))
    train = library_files("json", "logging", "email", "html")
    corpus = write_corpus(home / "corpus", train, library_files("wsgiref"))
    train_tokenizer(corpus, home / "tokenizer", params=SMALL_TOKENIZER, config_digest="test")
    encode_corpus(corpus, home / "tokenizer", home / "encoded_documents", params=EncodedDocuments())
    return home


def small_encoded() -> list[Path]:
    return sorted((small_home() / "encoded_documents").iterdir())


def encoded_file(document_id: str, text: str, *, source: str = "swh", path: str = "p", origin: str = "o") -> File:
    """A file as packing reads it."""
    [ids] = encode_parts(small_tokenizer(), [format_of(source).parts(text, document_id)])
    num_bytes = small_tokenizer().num_bytes(ids)
    return File(document_id, source, "swh:1:cnt:" + "0" * 40, origin, path, None, num_bytes, ids)


@functools.cache
def small_tokenizer() -> Tokenizer:
    return Tokenizer.load(small_home() / "tokenizer")
