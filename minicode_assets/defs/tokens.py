"""Group tokens: the tokenizer and the packed shards."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from minicode_assets.config import TokenShards, shown_stars
from minicode_assets.corpus.annotate.origin_facts import read_stars
from minicode_assets.defs.pictures import bar_plot, fenced, rows_table
from minicode_assets.defs.stage import Outcome, Stage, StageRun
from minicode_assets.layout import partition_keys
from minicode_assets.schemas import ENCODED_DOCUMENTS
from minicode_assets.tokens.budget import chinchilla_rows
from minicode_assets.tokens.encoded import count_mismatches, encode_documents
from minicode_assets.tokens.mixture import tokens_at_hand
from minicode_assets.tokens.mixture_table import COLUMNS, mixture_rows, phase_mixtures
from minicode_assets.tokens.show import decoded_sequences
from minicode_assets.tokens.train import train_tokenizer
from minicode_assets.tokens.write import write_token_shards
from minicode_model.shards import PackedSplit, open_split
from minicode_model.tokenizer import Tokenizer

NUM_COMPARED = 200
"""Documents of each partition whose text is compared with what their tokens decode to."""
NUM_SHOWN = 10
"""Sequences that the web UI shows as text."""


def tokenizer(run: StageRun) -> Outcome:
    """Train the tokenizer on a sample of the corpus."""
    artifact = train_tokenizer(
        run.layout.asset("corpus"), run.folder, params=run.config.tokenizer, config_digest=run.config_digest
    )
    figures = artifact.metadata
    failures, differences = figures["num_round_trip_failures"], figures["num_id_differences"]
    return Outcome(
        artifact,
        {
            "lossless": (failures == 0, {"failures": failures, "documents": figures["num_round_trip_documents"]}),
            "ids_are_sentencepieces": (
                differences == 0,
                {"differences": differences, "documents": figures["num_compared_documents"]},
            ),
        },
        {
            "bytes_per_token_by_kind": rows_table(
                ["kind", "bytes per token"], list(figures["bytes_per_token_by_kind"].items())
            ),
            "longest_pieces": rows_table(["rank", "piece"], list(enumerate(figures["longest_pieces"], start=1))),
            "unused_pieces": rows_table(["rank", "piece"], list(enumerate(figures["unused_pieces"], start=1))),
            "outliers": rows_table(["held-out file", "bytes per token"], figures["outliers"]),
        },
    )


def encoded_documents(run: StageRun) -> Outcome:
    """Encode one partition of the corpus."""
    part = partition_keys(run.config.partitions.num_prefixes).index(run.partition)
    artifact = encode_documents(
        run.layout.asset("corpus"),
        run.layout.asset("tokenizer"),
        run.folder,
        part=part,
        params=run.config.encoded_documents,
        config_digest=run.config_digest,
    )
    tokenizer = Tokenizer.load(run.layout.asset("tokenizer"))
    failures = count_mismatches(run.layout.asset("corpus"), artifact.path, tokenizer, part=part, limit=NUM_COMPARED)
    return Outcome(artifact, {"gives_back_the_text": (failures == 0, {"failures": failures, "compared": NUM_COMPARED})})


def token_shards(run: StageRun) -> Outcome:
    """Lay out and pack the encoded documents."""
    encoded = run.partitions("encoded_documents")
    artifact = write_token_shards(
        encoded,
        run.layout.asset("tokenizer"),
        run.folder,
        params=run.config.token_shards,
        config_digest=run.config_digest,
        num_stars=stars_of(run, run.config.token_shards),
    )
    splits = {name: open_split(run.folder, name) for name in ("train", "validation")}
    padding = {name: _padding_fraction(split) for name, split in splits.items()}
    num_tokens = {name: split.num_tokens for name, split in splits.items()}
    tokenizer = Tokenizer.load(run.layout.asset("tokenizer"))
    shown = decoded_sequences(run.folder, tokenizer, split="train", count=NUM_SHOWN)
    lengths = {f"from {low} tokens": count for low, count in artifact.metadata["train"]["document_lengths"].items()}
    return Outcome(
        artifact,
        {
            "little_padding": (max(padding.values()) < 0.05, padding),
            "both_splits_have_tokens": (min(s.num_sequences for s in splits.values()) > 0, num_tokens),
        },
        {
            "splits": rows_table(
                ["split", "documents", "tokens", "sequences", "padding"],
                [(n, s.num_documents, s.num_tokens, s.num_sequences, f"{padding[n]:.4%}") for n, s in splits.items()],
            ),
            "tokens_by_license": bar_plot(
                "Training tokens by licence", "tokens", artifact.metadata["train"]["tokens_by_license"]
            ),
            "tokens_by_source": bar_plot(
                "Training tokens by source", "tokens", artifact.metadata["train"]["tokens_by_source"]
            ),
            "chinchilla": rows_table(
                ["model", "parameters", "tokens wanted", "at hand", "epochs"],
                chinchilla_rows(run.config.model, num_tokens["train"]),
            ),
            "mixture": rows_table(list(COLUMNS), mixture_rows(tokens_at_hand(encoded), phase_mixtures(run.config)[:1])),
            "document_lengths": bar_plot("Training documents by length", "documents", lengths),
            "packing": rows_table(["training split", "value"], packing_rows(artifact.metadata["train"])),
            "sequences": dg.MetadataValue.md("\n\n".join(map(fenced, shown))),
        },
    )


def packing_rows(figures: Mapping[str, Any]) -> list[tuple[str, object]]:
    """What packing made of the documents: padding, and cuts beside those that can't be helped."""
    return [
        ("tokens / slots", f"{1 - figures['padding_fraction']:.4%}"),
        ("files longer than a sequence", figures["num_long_files"]),
        ("files cut", figures["num_cut_files"]),
        ("cuts inside files", figures["num_cuts"]),
        ("of those at the end of a line", figures["num_line_cuts"]),
        ("parts in PSM order", figures["num_psm"]),
        ("parts in SPM order", figures["num_spm"]),
    ]


def stars_of(run: StageRun, params: TokenShards) -> dict[str, int]:
    """Stars of each origin, where the layout shows them and the file of [origin_facts] knows them."""
    files = shown_stars(params, run.config.origin_facts.stars_file)
    return {origin: stars for file in files for origin, stars in read_stars(file).iter_rows()}


def _padding_fraction(split: PackedSplit) -> float:
    """Share of padding, 0..1, not counting the last sequence, which can't be helped."""
    slots = split.num_sequences * split.seq_len
    return max(slots - split.num_tokens - split.seq_len, 0) / max(slots, 1)


STAGES = [
    Stage(
        name="tokenizer",
        group="tokens",
        compute=tokenizer,
        deps=("corpus",),
        description="A SentencePiece BPE model that gives back every byte, with StarCoder2's special tokens.",
        checks={
            "lossless": "Every validation document comes back byte for byte.",
            "ids_are_sentencepieces": "The compiled engine gives SentencePiece's own ids on the validation documents.",
        },
        kinds=("sentencepiece",),
    ),
    Stage(
        name="encoded_documents",
        group="tokens",
        compute=encoded_documents,
        # The corpus is made of the documents. They are named, or "Materialize all" in the web UI would leave this asset
        # out: Dagster finds the partitioned assets by going from one to the next.
        deps=("corpus", "tokenizer", "documents"),
        description="Every document as tokens, encoded once; any length, format and mixture is packed from these.",
        checks={"gives_back_the_text": "The tokens of the partition's first documents give back their text."},
        table=ENCODED_DOCUMENTS,
        kinds=("sentencepiece",),
    ),
    Stage(
        name="token_shards",
        group="tokens",
        compute=token_shards,
        deps=("encoded_documents", "tokenizer"),
        all_partitions=("encoded_documents",),
        description="Packed sequences with document boundaries, traceable to the file that each token came from.",
        checks={
            "little_padding": "Padding is under 5 % of the tokens.",
            "both_splits_have_tokens": "Neither split is empty.",
        },
        kinds=("numpy",),
    ),
]
