"""Token shards: documents as tokens, an index that packs them into sequences, and the file behind every token."""

import dataclasses
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import MappingProxyType
from typing import Any

from minicode_assets.config import TokenShards
from minicode_assets.errors import CorpusError, ShardError
from minicode_assets.pool import in_order, start_pool
from minicode_assets.tokens.encode import ExampleEncoder
from minicode_assets.tokens.encoded import SPLITS
from minicode_assets.tokens.format import Example, File, Format, training_examples, validation_examples
from minicode_assets.tokens.mixture import copies, epochs, read_units, tokens_at_hand
from minicode_assets.tokens.pieces import Encoded
from minicode_assets.tokens.read import encoded_files
from minicode_assets.tokens.split_writer import SplitWriter
from minicode_model.artifact import Artifact, open_artifact, rebuild_hint, write_artifact
from minicode_model.tokenizer import Tokenizer

_BATCH_BYTES = 4_000_000


def write_token_shards(
    encoded: Sequence[Path],
    tokenizer: Path,
    folder: Path,
    *,
    params: TokenShards,
    config_digest: str,
    num_stars: Mapping[str, int] = MappingProxyType({}),
) -> Artifact:
    """The token_shards artefact exists afterwards: shards, index and documents.parquet for each split.

    Args:
        encoded: The partitions of encoded_documents.
        tokenizer: The tokenizer artefact that encoded them.
        folder: The token_shards artefact.
        params: The section [token_shards].
        config_digest: See `write_artifact`.
        num_stars: Of each origin URL where known, for the layout `starcoder`.

    Returns:
        The artefact; its metadata has the figures of `SplitWriter.figures` for each split, and `epochs` by source.

    Raises:
        CorpusError: The training split has no documents, or the mixture can't be had.
        ShardError: Another tokenizer encoded the documents, or a document has more tokens than a shard holds.
    """
    sources = [open_artifact(path) for path in encoded]
    inputs = {f"encoded_documents/{source.path.name}": source.digest for source in sources}
    inputs |= {"tokenizer": open_artifact(tokenizer).digest}
    encoder = Tokenizer.load(tokenizer)
    _check_tokenizer(sources, encoder)
    with write_artifact(folder, name="token_shards", config_digest=config_digest, inputs=inputs) as writer:
        figures: dict[str, Any] = {"tokenizer_digest": encoder.digest, "seq_len": params.seq_len}
        figures["epochs"] = mixture = plan(encoded, params)
        for split in SPLITS:
            num_bytes = sum(source.metadata[split]["num_bytes"] for source in sources)
            work = SplitWriter(writer.path / split, split, encoder, params)
            examples = split_examples(encoded, split, encoder, params, mixture, num_stars)
            for example, pieces in encode_examples(examples, encoder, params, num_bytes=num_bytes):
                work.add(example, pieces)
            figures[split] = work.finish()
        if not figures["train"]["num_documents"]:
            raise _nothing_to_read(folder, sources, mixture)
        writer.metadata = figures
    return open_artifact(folder, verify=False)


def _nothing_to_read(folder: Path, encoded: Sequence[Artifact], mixture: Mapping[str, float]) -> CorpusError:
    at_hand = sum(artifact.metadata["train"]["num_documents"] for artifact in encoded)
    times = ", ".join(f"{source} {times:g} times" for source, times in mixture.items())
    return CorpusError(
        f"{folder}: found no documents to train on in {len(encoded)} partitions, expected at least one"
        + (f"; {at_hand} are at hand, read {times}" if at_hand else ""),
        hint="raise [token_shards] epochs, target_shares or mixture_tokens"
        if at_hand
        else "minicode funnel shows which rules dropped the documents",
    )


def _check_tokenizer(encoded: Sequence[Artifact], tokenizer: Tokenizer) -> None:
    for artifact in encoded:
        if (found := artifact.metadata["tokenizer_digest"]) != tokenizer.digest:
            raise ShardError(
                f"{artifact.path}: tokenizer digest found {found}, expected {tokenizer.digest}",
                hint=rebuild_hint("encoded_documents"),
            )


def plan(encoded: Sequence[Path], params: TokenShards) -> dict[str, float]:
    """How many times each source is read."""
    return epochs(tokens_at_hand(encoded), params)


def split_examples(
    encoded: Sequence[Path],
    split: str,
    tokenizer: Tokenizer,
    params: TokenShards,
    mixture: Mapping[str, float],
    num_stars: Mapping[str, int],
) -> Iterator[Example]:
    """The examples of a split, in the order of origins whatever the partitions."""
    files = encoded_files(encoded, split, tokenizer.dtype)
    if split != "train":
        return validation_examples(files, params.validation_fim_rate)
    form = Format(
        repository_context=params.repository_context,
        metadata_rate=params.metadata_rate,
        fim_rate=params.fim_rate,
        fim_file_rate=params.fim_file_rate,
        max_example_tokens=params.shard_tokens,
        seed=params.seed,
        layout=params.layout,
        starcoder_metadata_rate=params.starcoder_metadata_rate,
        num_stars=num_stars,
    )
    if any(times != 1 for times in mixture.values()):
        units = read_units(encoded, repository_context=params.repository_context)
        files = repeat(files, copies(units, mixture, seed=params.seed))
    return training_examples(files, form)


def repeat(files: Iterable[File], times: Mapping[tuple[str, str], int]) -> Iterator[File]:
    """Each file as often as its unit, a document or its origin, is to be read."""
    for file in files:
        count = times.get((file.source, file.document_id), times.get((file.source, file.origin_url), 0))
        yield from (dataclasses.replace(file, epoch=epoch) for epoch in range(count))


def encode_examples(
    examples: Iterable[Example], tokenizer: Tokenizer, params: TokenShards, *, num_bytes: int
) -> Iterator[tuple[Example, Encoded]]:
    """Every example with its tokens in pieces, in the same order for any number of workers."""
    settings: dict[str, Any] = {
        "seq_len": params.seq_len,
        "fim_spm_rate": params.fim_spm_rate,
        "fim_syntax_rate": params.fim_syntax_rate,
        "line_padding_fraction": params.line_padding_fraction,
        "seed": params.seed,
    }
    if params.num_workers > 1 and num_bytes >= params.parallel_from_bytes:
        yield from _encode_parallel(_batches(examples), tokenizer, settings, params.num_workers)
    else:
        encoder = ExampleEncoder(tokenizer, **settings)
        yield from ((example, encoder.encode(example)) for example in examples)


def _batches(examples: Iterable[Example]) -> Iterator[list[Example]]:
    batch: list[Example] = []
    size = 0
    for example in examples:
        batch.append(example)
        size += sum(file.num_bytes for file in example.files)
        if size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _encode_parallel(
    batches: Iterator[list[Example]], tokenizer: Tokenizer, settings: dict[str, Any], num_workers: int
) -> Iterator[tuple[Example, Encoded]]:
    """Encode batches in processes and give the results in order; a few batches at most are under way."""
    pool = start_pool(num_workers, _start_worker, tokenizer.model, settings)
    sent: deque[list[Example]] = deque()

    def calls() -> Iterator[Future[list[Encoded]]]:
        for batch in batches:
            sent.append(batch)
            yield pool.submit(_encode_batch, batch)

    what, hint = "token_shards: a process that lays out documents", "[token_shards] num_workers = 1"
    try:
        for encoded in in_order(calls(), num_ahead=2 * num_workers, what=what, hint=hint):
            yield from zip(sent.popleft(), encoded, strict=True)
    finally:
        pool.shutdown(cancel_futures=True)


_worker: list[ExampleEncoder] = []


def _start_worker(model: bytes, settings: dict[str, Any]) -> None:
    _worker[:] = [ExampleEncoder(Tokenizer(model), **settings)]


def _encode_batch(examples: list[Example]) -> list[Encoded]:
    return [_worker[0].encode(example) for example in examples]
