"""A folder that Hugging Face's libraries load: weights, configuration, tokenizer and a card that says what is in it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minicode_model.artifact import Artifact, open_artifact, write_artifact
from minicode_model.checkpoint import END_OF_DOCUMENT_ID, Settings, load_model, read_settings, write_weights
from minicode_model.errors import CheckpointError
from minicode_model.shards import DOCUMENTS_FILE, open_split
from minicode_model.tokenizer import SPECIAL_TOKENS, Tokenizer
from minicode_model.tokenizer_export import export_tokenizer

_STARCODER2 = {"hidden_act": "gelu_pytorch_tanh", "norm_type": "layer_norm", "qk_norm": False}


NUM_ORIGINS_SHOWN = 20


def export(
    checkpoint: Path,
    tokenizer: Path,
    shards: Path,
    evaluation: Path,
    folder: Path,
    *,
    scores: Path | None = None,
    earlier: Sequence[tuple[Path, Path]] = (),
) -> Artifact:
    """Write the model in Hugging Face's format; afterwards `AutoModelForCausalLM.from_pretrained(folder)` loads it.

    Logits and token ids are the same as here, for single documents: Hugging Face's class doesn't keep packed
    documents apart.

    Args:
        checkpoint: The checkpoint artefact.
        tokenizer: The tokenizer artefact that it was trained with.
        shards: The token_shards artefact, whose sources the card lists.
        evaluation: The evaluation artefact, whose figures the card shows.
        folder: The artefact to write: model.safetensors, config.json, generation_config.json, tokenizer.json,
            tokenizer_config.json, README.md (the card).
        scores: The benchmark_scores artefact, whose figures the card shows, too.
        earlier: The checkpoints that training went on from, latest first, each with its shards, for the card.

    Raises:
        CheckpointError: The architecture isn't StarCoder2's, or tokenizer, shards, evaluation or scores are another
            model's: the card would say what isn't so.
    """
    settings, vocabulary = read_settings(checkpoint), Tokenizer.load(tokenizer)
    check_exportable(checkpoint, settings, vocabulary)
    network, config = load_model(checkpoint)
    read = {"checkpoint": checkpoint, "evaluation": evaluation, "token_shards": shards, "tokenizer": tokenizer}
    read |= {"benchmark_scores": scores} if scores else {}
    artifacts = {name: open_artifact(path) for name, path in read.items()}
    check_origin(artifacts)
    results = json.loads((evaluation / "results.json").read_bytes())
    results["scores"] = dict(artifacts["benchmark_scores"].metadata) if scores else {}
    inputs = {name: artifact.digest for name, artifact in artifacts.items()}
    with write_artifact(folder, name="export", config_digest="", inputs=inputs) as writer:
        write_weights(network, writer.path)
        (writer.path / "generation_config.json").write_text(_generation_config())
        export_tokenizer(vocabulary, writer.path, max_length=config.max_position_embeddings)
        sources = data_statement(shards) | earlier_statements(artifacts["checkpoint"].inputs.get("start", ""), earlier)
        (writer.path / "README.md").write_text(model_card(settings, network.num_parameters, sources, results, inputs))
        writer.metadata.update({"num_parameters": network.num_parameters, **sources})
    return open_artifact(folder)


def check_exportable(checkpoint: Path, settings: Settings, vocabulary: Tokenizer) -> None:
    """Raise CheckpointError unless other programs know the architecture and the tokenizer is the checkpoint's own."""
    for name, expected in _STARCODER2.items():
        found = getattr(settings.model, name)
        if found != expected:
            raise CheckpointError(
                f"{checkpoint}: [model] {name} found {found!r}, expected {expected!r}, as in Starcoder2",
                hint="train with StarCoder2's architecture, or use the checkpoint with python -m minicode_model",
            )
    if settings.tokenizer_digest != vocabulary.digest:
        raise CheckpointError(
            f"{checkpoint}: tokenizer digest found {settings.tokenizer_digest}, expected {vocabulary.digest}",
            hint="give the tokenizer that made the checkpoint's shards",
        )


def check_origin(artifacts: Mapping[str, Artifact]) -> None:
    """Raise CheckpointError unless the shards trained the checkpoint, and it is the one that the figures are of."""
    claims = [("checkpoint", "token_shards"), ("evaluation", "checkpoint"), ("benchmark_scores", "checkpoint")]
    for reader, name in claims:
        if reader in artifacts and artifacts[reader].inputs.get(name) != artifacts[name].digest:
            raise CheckpointError(
                f"{artifacts[reader].path}: made from {name} {artifacts[reader].inputs.get(name, 'none')}, expected "
                f"{artifacts[name].digest} of {artifacts[name].path}",
                hint=f"give the {name} that it was made from",
            )


def _generation_config() -> str:
    ends = [END_OF_DOCUMENT_ID, SPECIAL_TOKENS.index("<file_sep>")]
    value = {
        "bos_token_id": END_OF_DOCUMENT_ID,
        "eos_token_id": ends,
        "pad_token_id": SPECIAL_TOKENS.index("<fim_pad>"),
    }
    return json.dumps(value, indent=2, sort_keys=True) + "\n"


def data_statement(shards: Path) -> dict[str, Any]:
    """What the training split was made of.

    Returns:
        num_files, num_origins, swhid_list_sha256 (of the sorted distinct SWHIDs, one a line), tokens_by_license and
        tokens_by_origin, both from the largest.
    """
    from pyarrow import parquet

    columns = ["swhid", "origin_url", "license_expression", "num_tokens"]
    table = parquet.read_table(open_split(shards, "train").path / DOCUMENTS_FILE, columns=columns).to_pydict()
    swhids = sorted({swhid for swhid in table["swhid"] if swhid})
    return {
        "num_files": len(table["swhid"]),
        "num_origins": len(set(table["origin_url"])),
        "swhid_list_sha256": hashlib.sha256("".join(f"{swhid}\n" for swhid in swhids).encode()).hexdigest(),
        "tokens_by_license": _tokens_by(table["license_expression"], table["num_tokens"]),
        "tokens_by_origin": _tokens_by(table["origin_url"], table["num_tokens"]),
    }


def earlier_statements(start: str, earlier: Sequence[tuple[Path, Path]]) -> dict[str, Any]:
    """What the weights learnt from before.

    Args:
        start: Digest of the checkpoint that training went on from; empty where the weights were drawn.
        earlier: That checkpoint with its shards, then the one before.

    Returns:
        `earlier`, a data statement for each with its `checkpoint`'s digest, and `start`, the one that is not given.

    Raises:
        CheckpointError: Training did not go on from this checkpoint, or the shards are another's.
    """
    statements = []
    for checkpoint, shards in earlier:
        artifacts = {"checkpoint": open_artifact(checkpoint), "token_shards": open_artifact(shards)}
        check_origin(artifacts)
        found = artifacts["checkpoint"]
        if found.digest != start:
            raise CheckpointError(
                f"{checkpoint}: found checkpoint {found.digest}, expected {start or 'none'}, whence training went on",
                hint="give the former checkpoints in order, latest first",
            )
        statements.append({"checkpoint": start, **data_statement(shards)})
        start = found.inputs.get("start", "")
    return {"earlier": statements, "start": start}


def _tokens_by(names: list[str | None], counts: list[int]) -> dict[str, int]:
    tokens: dict[str, int] = {}
    for name, count in zip(names, counts, strict=True):
        tokens[name or "unknown"] = tokens.get(name or "unknown", 0) + count
    return dict(sorted(tokens.items(), key=lambda item: (-item[1], item[0])))


def model_card(
    settings: Settings,
    num_parameters: int,
    sources: Mapping[str, Any],
    results: Mapping[str, Any],
    inputs: Mapping[str, str],
) -> str:
    """The README of the folder, with Hugging Face's metadata block."""
    shape = settings.model
    bits = "\n".join(f"| {name.replace('_', ' ')} | {value:.4f} |" for name, value in results["bits_per_byte"].items())
    bits += "".join(f"\n| of {kind} files | {value:.4f} |" for kind, value in results["bits_per_byte_by_kind"].items())
    origins = list(sources["tokens_by_origin"].items())
    shown = [*origins[:NUM_ORIGINS_SHOWN], *_rest(origins[NUM_ORIGINS_SHOWN:])]
    digests = "\n".join(f"| {name} | `{digest}` |" for name, digest in inputs.items())
    return _CARD.format(
        parameters=f"{num_parameters:,}",
        shape=f"{shape.num_hidden_layers} layers of width {shape.hidden_size}, "
        f"{shape.num_attention_heads} query heads, {shape.num_key_value_heads} key-value heads, "
        f"context {shape.max_position_embeddings} tokens",
        vocab_size=f"{shape.vocab_size:,}",
        step=f"{settings.step:,}",
        bits=bits,
        num_documents=results["num_documents"],
        num_bytes=f"{results['num_bytes']:,}",
        licenses=_rows(sources["tokens_by_license"]),
        earlier="".join(_EARLIER.format(licenses=_rows(one["tokens_by_license"]), **one) for one in sources["earlier"]),
        start=_START.format(**sources) if sources["start"] else "",
        origins="\n".join(f"| {name} | {count:,} |" for name, count in shown),
        scores=_scores(results["scores"]),
        digests=digests,
        **{name: sources[name] for name in ("num_files", "num_origins", "swhid_list_sha256")},
    )


def _rows(counts: Mapping[str, int]) -> str:
    return "\n".join(f"| {name} | {count:,} |" for name, count in counts.items())


def _rest(origins: list[tuple[str, int]]) -> list[tuple[str, int]]:
    return [(f"{len(origins)} more", sum(count for _, count in origins))] if origins else []


def _scores(scores: Mapping[str, Any]) -> str:
    """The benchmarks' figures as a section of their own; nothing where there are none."""
    if not scores:
        return ""
    rows = "\n".join(f"| {name.replace('_', ' ')} | {value:.4f} |" for name, value in scores.items())
    return f"\nBenchmarks:\n\n| | |\n|---|---|\n{rows}\n"


_EARLIER = """
Before these, training went to the checkpoint `{checkpoint}` on {num_files} files of {num_origins} origins; SHA-256 of
the sorted list of their SWHIDs: `{swhid_list_sha256}`.

| licence | tokens |
|---|---|
{licenses}
"""
_START = """
Before these, the weights were trained on what isn't listed here: training went on from the checkpoint `{start}`.
"""
_CARD = """---
library_name: transformers
pipeline_tag: text-generation
tags: [code, python, starcoder2, fill-in-the-middle]
---

# A minicode model

A small Python model of StarCoder2's architecture: {parameters} parameters, {shape}, vocabulary {vocab_size}, trained
for {step} steps. Made by minicode, which rebuilds every step from the Software Heritage archive.

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(".")
model = AutoModelForCausalLM.from_pretrained(".")
ids = tokenizer("<file_sep>def add(a, b):\\n", return_tensors="pt").input_ids
print(tokenizer.decode(model.generate(ids, max_new_tokens=32)[0]))
```

A file begins with `<file_sep>`. To fill a gap: `<file_sep><fim_prefix>` before `<fim_suffix>` after `<fim_middle>`.
Encode text that you don't trust with `split_special_tokens=True`.

## Evaluation

Bits per byte on {num_documents} files ({num_bytes} bytes) of origins that were held out; less is better.

| | bits per byte |
|---|---|
{bits}
{scores}
## Data

{num_files} files of {num_origins} origins. SHA-256 of the sorted list of their SWHIDs, one a line:
`{swhid_list_sha256}`.

| origin | tokens |
|---|---|
{origins}

| licence | tokens |
|---|---|
{licenses}
{earlier}{start}
The model may repeat its training data word for word; the licences of the files apply to what it repeats.

## Made from

| artefact | digest |
|---|---|
{digests}
"""
