"""Group tokens: the tokenizer and the packed shards."""

from minicode_assets.defs.pictures import bar_plot, rows_table
from minicode_assets.defs.stage import Outcome, Stage, StageRun
from minicode_assets.tokens.train import train_tokenizer
from minicode_assets.tokens.write import write_token_shards
from minicode_model.shards import open_split


def tokenizer(run: StageRun) -> Outcome:
    """Train the tokenizer on a sample of the corpus."""
    artifact = train_tokenizer(
        run.layout.asset("corpus"), run.folder, params=run.config.tokenizer, config_digest=run.config_digest
    )
    figures = artifact.metadata
    failures = figures["num_round_trip_failures"]
    return Outcome(
        artifact,
        {"lossless": (failures == 0, {"failures": failures, "documents": figures["num_round_trip_documents"]})},
    )


def token_shards(run: StageRun) -> Outcome:
    """Encode and pack the corpus."""
    artifact = write_token_shards(
        run.layout.asset("corpus"),
        run.layout.asset("tokenizer"),
        run.folder,
        params=run.config.token_shards,
        config_digest=run.config_digest,
    )
    splits = {name: open_split(run.folder, name) for name in ("train", "validation")}
    padding = {
        name: 1 - split.num_tokens / max(split.num_sequences * split.seq_len, 1) for name, split in splits.items()
    }
    parameters = {name: split.num_tokens for name, split in splits.items()}
    return Outcome(
        artifact,
        {
            "little_padding": (max(padding.values()) < 0.05, padding),
            "both_splits_have_tokens": (min(s.num_sequences for s in splits.values()) > 0, parameters),
        },
        {
            "splits": rows_table(
                ["split", "documents", "tokens", "sequences", "padding"],
                [(n, s.num_documents, s.num_tokens, s.num_sequences, f"{padding[n]:.4%}") for n, s in splits.items()],
            ),
            "tokens": bar_plot("Tokens by split", "tokens", parameters),
        },
    )


STAGES = [
    Stage(
        name="tokenizer",
        group="tokens",
        compute=tokenizer,
        deps=("corpus",),
        description="A SentencePiece BPE model that gives back every byte, with StarCoder2's special tokens.",
        checks={"lossless": "Every validation document comes back byte for byte."},
        kinds=("sentencepiece",),
    ),
    Stage(
        name="token_shards",
        group="tokens",
        compute=token_shards,
        deps=("corpus", "tokenizer"),
        description="Packed sequences with document boundaries, traceable to the file that each token came from.",
        checks={
            "little_padding": "Padding is under 5 % of the tokens.",
            "both_splits_have_tokens": "Neither split is empty.",
        },
        kinds=("numpy",),
    ),
]
