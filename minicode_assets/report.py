"""The closing table: the figures of a whole run, gathered from the artefacts that it left."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from minicode_assets.config import Config
from minicode_assets.layout import Layout, partition_keys
from minicode_assets.schemas import FUNNEL
from minicode_model.artifact import Artifact, open_artifact, write_artifact

SAMPLE_CHARACTERS = 600


def write_report(layout: Layout, config: Config, folder: Path, *, config_digest: str) -> Artifact:
    """Write report.json and report.txt, the figures of all stages.

    Args:
        layout: Where the artefacts lie.
        config: Gives the partition keys.
        folder: The artefact folder to write.
        config_digest: See `write_artifact`.

    Raises:
        MissingArtifactError, CorruptArtifactError: An artefact that it reads is absent or damaged.
    """
    inputs = {
        name: open_artifact(layout.asset(name), verify=False)
        for name in ("file_manifest", "corpus", "tokenizer", "token_shards", "checkpoint", "evaluation")
    }
    keys = partition_keys(config.partitions.num_prefixes)
    blobs = [open_artifact(layout.asset("blobs", key), verify=False) for key in keys]
    figures = _figures(inputs, blobs)
    digests = {name: artifact.digest for name, artifact in inputs.items()}
    digests |= {f"blobs/{key}": artifact.digest for key, artifact in zip(keys, blobs, strict=True)}
    with write_artifact(folder, name="report", config_digest=config_digest, inputs=digests) as writer:
        (writer.path / "report.json").write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n")
        (writer.path / "report.txt").write_text(format_report(figures) + "\n")
    return open_artifact(folder)


def _figures(inputs: Mapping[str, Artifact], blobs: list[Artifact]) -> dict[str, Any]:
    results = json.loads(inputs["evaluation"].file("results.json").read_text())
    checkpoint = inputs["checkpoint"].metadata
    shards = inputs["token_shards"].metadata
    return {
        "files_resolved": inputs["file_manifest"].metadata["num_rows"],
        "blobs_verified": sum(artifact.metadata["num_verified"] for artifact in blobs),
        "blobs_wanted": sum(artifact.metadata["num_rows"] for artifact in blobs),
        "funnel": pl.read_parquet(inputs["corpus"].file("funnel.parquet"), schema=FUNNEL.polars, glob=False).to_dicts(),
        "bytes_per_token": inputs["tokenizer"].metadata["bytes_per_token"],
        "train_tokens": shards["train"]["num_tokens"],
        "validation_tokens": shards["validation"]["num_tokens"],
        **{f"{split}_tokens_by_source": shards[split]["tokens_by_source"] for split in ("train", "validation")},
        "parameters": checkpoint["num_parameters"],
        "first_loss": checkpoint["first_loss"],
        "last_loss": checkpoint["last_loss"],
        "trained_tokens": checkpoint["num_tokens"],
        "bits_per_byte": results["bits_per_byte"],
        "samples": results["samples"],
    }


def format_report(figures: Mapping[str, Any]) -> str:
    """The figures as a table for a terminal."""
    funnel = {row["step"]: row["num_documents"] for row in figures["funnel"]}
    dropped = {step: count for step, count in funnel.items() if step not in ("all", "kept") and count}
    bits = dict(figures["bits_per_byte"])
    model = bits.pop("model")
    lines = [
        ("files resolved", f"{figures['files_resolved']:,}"),
        ("blobs verified", f"{figures['blobs_verified']:,} of {figures['blobs_wanted']:,}"),
        ("documents kept", f"{funnel['kept']:,} of {funnel['all']:,}"),
        *[(f"  {reason}", f"{count:,} dropped") for reason, count in dropped.items()],
        ("bytes per token", f"{figures['bytes_per_token']:.3f} (held out)"),
        ("tokens", f"{figures['train_tokens']:,} train, {figures['validation_tokens']:,} validation"),
        *_by_source(figures["train_tokens_by_source"], figures["validation_tokens_by_source"]),
        ("model", f"{figures['parameters']:,} parameters, trained on {figures['trained_tokens']:,} tokens"),
        ("training loss", f"{figures['first_loss']:.3f} → {figures['last_loss']:.3f} nats a token"),
        ("bits per byte", f"{model:.3f} (held-out origins)"),
        *[(f"  {name.replace('_', ' ')}", f"{value:.3f}") for name, value in bits.items()],
    ]
    table = "\n".join(f"{name:<34}{value}" for name, value in lines)
    return table + "".join(_sample(sample) for sample in figures["samples"])


def _by_source(train: Mapping[str, int], held_out: Mapping[str, int]) -> list[tuple[str, str]]:
    """A line a source: its tokens in each split that has any."""
    return [
        (f"  {name}", ", ".join(f"{count:,} {split}" for count, split in splits if count))
        for name in sorted({*train, *held_out})
        for splits in [((train.get(name, 0), "train"), (held_out.get(name, 0), "validation"))]
    ]


def _sample(sample: Mapping[str, str]) -> str:
    """A sample as a person reads it: what was given, then what the model wrote between marks."""
    kind = sample["kind"].replace("_", " ")
    before, after = sample["prompt"][-SAMPLE_CHARACTERS:], sample.get("suffix", "")[:SAMPLE_CHARACTERS]
    return f"\n\n── {kind}: {sample.get('path', '')}\n{before}⟦{sample['text']}⟧{after}"
