"""A tokenizer from a sample of the corpus: SentencePiece BPE with byte fallback, special tokens as control symbols."""

import io
import itertools
import logging
import struct
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import sentencepiece

from minicode_assets.config import Tokenizer as TokenizerParams
from minicode_assets.errors import TokenizerError
from minicode_assets.parquet import scan_table
from minicode_assets.schemas import CORPUS
from minicode_assets.tokens.measure import longest_pieces, measure
from minicode_assets.tokens.read import corpus_documents, parquet_rows
from minicode_model.artifact import Artifact, open_artifact, write_artifact
from minicode_model.fim import uniforms
from minicode_model.tokenizer import MODEL_FILE, SPACE, SPECIAL_TOKENS, UNKNOWN_ID, Tokenizer

_LOG = logging.getLogger("minicode.tokenizer")
_NUM_BYTES = 256
_AGAIN = "then minicode materialize --select tokenizer"
_UNTRAINABLE = str.maketrans("", "", f"\0{SPACE}\u2585")
"""Left out of the sample: NUL, SentencePiece's space, and its reserved mark, for which it would skip the document.
All three are encoded exactly, as bytes."""


def train_tokenizer(corpus: Path, folder: Path, *, params: TokenizerParams, config_digest: str) -> Artifact:
    """The tokenizer artefact exists afterwards: `tokenizer.model`, with figures from the validation split.

    Args:
        corpus: The corpus artefact: train/ and validation/.
        folder: The tokenizer artefact.
        params: The section [tokenizer].
        config_digest: See `write_artifact`.

    Returns:
        The artefact; metadata: vocab_size, digest, num_sample_documents, `measure` of the validation split, and
        longest_pieces.

    Raises:
        TokenizerError: The corpus has no text, or not enough for `vocab_size` pieces.
    """
    source = open_artifact(corpus)
    chosen = choose_sample(corpus, sample_bytes=params.sample_bytes, seed=params.seed)
    num_documents = int(sum(part.sum() for part in chosen))
    _LOG.info("training on %d documents", num_documents)
    model = train_model(_sample_texts(corpus, chosen), params=params, where=str(corpus / "train"))
    tokenizer = Tokenizer(model, where=str(folder / MODEL_FILE))
    with write_artifact(
        folder, name="tokenizer", config_digest=config_digest, inputs={"corpus": source.digest}
    ) as writer:
        (writer.path / MODEL_FILE).write_bytes(model)
        writer.metadata = {
            "vocab_size": tokenizer.vocab_size,
            "digest": tokenizer.digest,
            "num_sample_documents": num_documents,
            **measure(tokenizer, corpus, "validation"),
            "longest_pieces": longest_pieces(tokenizer),
        }
    return open_artifact(folder, verify=False)


def choose_sample(corpus: Path, *, sample_bytes: int, seed: int) -> list[npt.NDArray[np.bool_]]:
    """Choose whole training documents, so that no origin gives more than its share.

    Documents are drawn as `balanced` says, by hash(seed, document). Memory: some 60 bytes a document of the corpus,
    whatever the texts hold, and the origins' names.

    Args:
        corpus: The corpus artefact.
        sample_bytes: Size of the sample, exceeded by less than one document.
        seed: Seed of the order.

    Returns:
        For each file of the training split, in order, which of its rows are chosen.

    Raises:
        TokenizerError: The training split has no text.
    """
    scan_table(corpus, CORPUS, pattern="train/*.parquet", verify=False)
    origins: dict[str, int] = {}
    parts = [_part_keys(path, origins, seed) for path in sorted((corpus / "train").glob("*.parquet"))]
    origin, size, key = (np.concatenate([part[column] for part in parts]) for column in range(3))
    if not size.sum():
        raise TokenizerError(
            f"{corpus / 'train'}: found {len(size)} documents without a byte of text, expected some text to train on",
            hint="minicode funnel shows which rules dropped the documents",
        )
    chosen = balanced(origin, size, key, sample_bytes)
    return np.split(chosen, np.cumsum([len(part[0]) for part in parts])[:-1])


def _part_keys(path: Path, origins: dict[str, int], seed: int) -> tuple[npt.NDArray[Any], ...]:
    """Number of the origin, bytes of text and hash of each row; new origins are numbered."""
    origin, size, key = array("l"), array("l"), array("d")
    for url, document_id, length in parquet_rows(path, ["origin_url", "document_id", "length_bytes"], batch_rows=4096):
        origin.append(origins.setdefault(url, len(origins)))
        size.append(length)
        key.append(uniforms(1, seed, "sample", document_id)[0])
    return np.array(origin, np.int32), np.array(size, np.int64), np.array(key, np.float64)


def balanced(
    origin: npt.NDArray[np.int32], size: npt.NDArray[np.int64], key: npt.NDArray[np.float64], total: int
) -> npt.NDArray[np.bool_]:
    """Which documents make a sample in which no origin has more than its share.

    Each origin gives its documents in the order of their keys. All of them give alike: a document comes the sooner the
    less its origin gave before it, until the sample is full; an origin that has less than the others give gives all.

    Args:
        origin: Number of each document's origin, from 0.
        size: Its bytes.
        key: Its place in the order.
        total: Size of the sample, exceeded by less than one document.
    """
    order = np.lexsort((key, origin))
    given = np.cumsum(size[order]) - size[order]
    first = np.flatnonzero(np.diff(origin[order], prepend=-1))
    before = np.empty(len(size), np.int64)
    before[order] = given - np.repeat(given[first], np.diff(first, append=len(size)))
    order = np.lexsort((key, before))
    chosen = np.zeros(len(size), np.bool_)
    chosen[order] = np.cumsum(size[order]) - size[order] < total
    return chosen


def train_model(texts: Iterator[str], *, params: TokenizerParams, where: str = "the sample") -> bytes:
    """Train SentencePiece on whole documents and return the serialised model.

    Args:
        texts: The documents.
        params: The section [tokenizer].
        where: What messages call the texts, best their path.

    Raises:
        TokenizerError: The texts don't give `vocab_size` pieces; nothing smaller is returned instead.
    """
    extra = params.extra_special_tokens
    if known := set(extra) & set(SPECIAL_TOKENS):
        raise TokenizerError(
            f"[tokenizer] extra_special_tokens: {', '.join(sorted(known))} is among the {len(SPECIAL_TOKENS)}",
            hint=f"leave it out, since it is there anyway; {_AGAIN}",
        )
    least = len(SPECIAL_TOKENS) + len(extra) + 1 + _NUM_BYTES
    if params.vocab_size <= least:
        raise TokenizerError(
            f"[tokenizer] vocab_size: found {params.vocab_size}, expected more than {least} "
            f"({len(SPECIAL_TOKENS) + len(extra)} special tokens, one unknown, {_NUM_BYTES} bytes)",
            hint=f"raise vocab_size; {_AGAIN}",
        )
    buffer = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=texts, model_writer=buffer, **trainer_options(params)
        )
    except RuntimeError as error:
        raise TokenizerError(
            f"{where}: [tokenizer] vocab_size {params.vocab_size}: SentencePiece can't train on this text: {error}",
            hint=f"lower character_coverage, raise vocab_size, or give it more text; {_AGAIN}",
        ) from error
    model = buffer.getvalue() + b"".join(map(control_piece, extra))
    try:
        found = len(sentencepiece.SentencePieceProcessor(model_proto=model))
    except RuntimeError as error:
        raise TokenizerError(
            f"{where}: [tokenizer] extra_special_tokens: found a name that is a piece already: {error}",
            hint=f"choose another name, or split_by_unicode_script = true; {_AGAIN}",
        ) from error
    if found != params.vocab_size:
        raise TokenizerError(
            f"{where}: found that the text gives {found} pieces, expected {params.vocab_size} ([tokenizer] vocab_size)",
            hint=f"set [tokenizer] vocab_size to {found} or less, or enlarge the corpus; {_AGAIN}",
        )
    return model


def control_piece(name: str) -> bytes:
    """A special token as Protocol Buffers write it; repeated fields may simply be appended to a model."""
    raw = name.encode()
    fields = b"\x0a" + bytes([len(raw)]) + raw + b"\x15" + struct.pack("<f", 0.0) + b"\x18\x03"
    return b"\x0a" + bytes([len(fields)]) + fields


def trainer_options(params: TokenizerParams) -> dict[str, Any]:
    """SentencePiece's options: nothing may change, join or skip a character. Source: model.md 3.1 and 3.2."""
    return {
        "model_type": "bpe",
        "vocab_size": params.vocab_size - len(params.extra_special_tokens),
        "byte_fallback": True,
        "normalization_rule_name": "identity",
        "add_dummy_prefix": False,
        "remove_extra_whitespaces": False,
        "allow_whitespace_only_pieces": params.whitespace_only_pieces,
        "split_by_whitespace": True,
        "split_digits": True,
        "split_by_unicode_script": params.split_by_unicode_script,
        "character_coverage": params.character_coverage,
        "max_sentence_length": 1 << 30,
        "max_sentencepiece_length": params.max_piece_length,
        "unk_id": UNKNOWN_ID,
        "bos_id": -1,
        "eos_id": -1,
        "pad_id": -1,
        "control_symbols": list(SPECIAL_TOKENS),
        "shuffle_input_sentence": False,
        "num_threads": params.num_threads,
        "hard_vocab_limit": False,
        "minloglevel": 1,
    }


def _sample_texts(corpus: Path, chosen: list[npt.NDArray[np.bool_]]) -> Iterator[str]:
    for file, is_chosen in zip(corpus_documents(corpus, "train"), itertools.chain(*chosen), strict=True):
        if is_chosen:
            yield file.content.translate(_UNTRAINABLE)
