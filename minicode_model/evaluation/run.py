"""The evaluation artefact: bits per byte beside its baselines, and samples from held-out documents."""

import csv
import io
import json
import logging
import math
from pathlib import Path
from typing import Any

from minicode_model.artifact import Artifact, open_artifact, write_artifact
from minicode_model.checkpoint import load_model, read_settings
from minicode_model.config import Evaluation
from minicode_model.errors import CheckpointError, ShardError
from minicode_model.evaluation.baselines import byte_entropy, zlib_bits_per_byte
from minicode_model.evaluation.bits_per_byte import Score, bits_per_byte, score_documents
from minicode_model.generate import complete, fill_in_the_middle
from minicode_model.model import Starcoder2, initialise
from minicode_model.shards import DOCUMENTS_FILE, PackedSplit, open_split
from minicode_model.tokenizer import Tokenizer
from minicode_model.training.batches import sequence_order

logger = logging.getLogger("minicode.evaluation")


def evaluate(
    checkpoint: Path, shards: Path, tokenizer: Path, folder: Path, *, params: Evaluation, config_digest: str
) -> Artifact:
    """Measure and sample a checkpoint; afterwards `folder` holds results.json and documents.csv.

    Args:
        checkpoint: The checkpoint artefact.
        shards: The token_shards artefact; its validation split is scored.
        tokenizer: The tokenizer artefact.
        folder: The artefact to write.
        params: The [evaluation] section.
        config_digest: Digest of the sections, recorded in the manifest.

    Raises:
        CheckpointError: Another tokenizer made the shards or trained the model.
        ShardError: There is no held-out text.
    """
    model, config = load_model(checkpoint)
    settings = read_settings(checkpoint)
    vocabulary = Tokenizer.load(tokenizer)
    split = open_split(shards, "validation")
    for what, digest in ((checkpoint, settings.tokenizer_digest), (shards, split.tokenizer_digest)):
        if digest != vocabulary.digest:
            raise CheckpointError(
                f"{what}: tokenizer digest found {digest}, expected {vocabulary.digest} of {tokenizer}",
                hint="minicode materialize --select token_shards checkpoint --force",
            )
    chosen = choose_documents(split, max_bytes=params.max_bytes, seed=params.seed)
    untrained = initialise(config, int(settings.training.get("seed", 0))).eval()
    logger.info("scoring %d documents, model and untrained model", len(chosen))
    scores = _score(model, split, chosen, vocabulary, params)
    texts = [vocabulary.decode(split.document(number)[0]) for number in chosen]
    paths = _paths(split, chosen)
    code = [text for text, path in zip(texts, paths, strict=True) if kind_of(path) != "text"]
    bits = {
        "model": bits_per_byte(scores),
        "untrained": bits_per_byte(_score(untrained, split, chosen, vocabulary, params)),
        "byte_entropy": byte_entropy(texts),
        "zlib": zlib_bits_per_byte(texts),
    }
    results = {
        "bits_per_byte": bits,
        "bits_per_byte_by_kind": by_kind(scores, [kind_of(path) for path in paths]),
        "num_bytes": sum(score.num_bytes for score in scores),
        "num_documents": len(scores),
        "num_tokens": sum(score.num_tokens for score in scores),
        "nats_per_token": math.fsum(s.nats for s in scores) / sum(s.num_tokens for s in scores),
        "samples": draw_samples(model, vocabulary, code or texts, params),
    }
    inputs = {
        name: open_artifact(path, verify=False).digest
        for name, path in (("checkpoint", checkpoint), ("token_shards", shards), ("tokenizer", tokenizer))
    }
    with write_artifact(folder, name=folder.name, config_digest=config_digest, inputs=inputs) as writer:
        (writer.path / "results.json").write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
        (writer.path / "documents.csv").write_text(_documents_table(chosen, paths, scores))
        writer.metadata.update({"bits_per_byte": bits["model"], "num_documents": len(scores)})
    return open_artifact(folder, verify=False)


def choose_documents(split: PackedSplit, *, max_bytes: int, seed: int) -> list[int]:
    """Numbers of the documents to score, in the order of hash(seed, document), as many as `max_bytes` holds.

    Empty documents are left out. Where even the first is larger than `max_bytes`, it is taken alone.

    Raises:
        ShardError: No document has text.
    """
    chosen: list[int] = []
    total = 0
    for number in map(int, sequence_order(split.num_documents, seed, 0)):
        num_bytes = split.document(number)[1]
        if chosen and total + num_bytes > max_bytes:
            break
        if num_bytes:
            chosen.append(number)
            total += num_bytes
    if not chosen:
        raise ShardError(f"{split.path}: found no document with text", hint="raise [corpus] validation_fraction")
    return chosen


def _score(
    model: Starcoder2, split: PackedSplit, chosen: list[int], tokenizer: Tokenizer, params: Evaluation
) -> list[Score]:
    return score_documents(
        model,
        [split.document(number) for number in chosen],
        is_text=tokenizer.token_lengths > 0,
        context_tokens=model.config.max_position_embeddings,
        batch_size=params.batch_size,
    )


def _paths(split: PackedSplit, chosen: list[int]) -> list[str]:
    """Path of each document; of its first file where it has several."""
    from pyarrow import parquet

    table = parquet.read_table(split.path / DOCUMENTS_FILE, columns=["document", "path"]).to_pydict()
    first = dict(zip(reversed(table["document"]), reversed(table["path"]), strict=True))
    return [first[number] for number in chosen]


def kind_of(path: str) -> str:
    """`test`, `package` (`__init__.py`), `setup` (packaging and configuration), `module`, or `text`; by the path alone.

    `text` is all that is no Python file: documentation, threads of issues, and the like.
    """
    *folders, name = path.lower().split("/")
    if not name.endswith((".py", ".pyi", ".pyw")):
        return "text"
    if name.startswith("test_") or name.endswith("_test.py") or {"test", "tests", "testing"} & set(folders):
        return "test"
    if name in ("setup.py", "conf.py", "conftest.py", "noxfile.py", "_version.py", "version.py"):
        return "setup"
    return "package" if name == "__init__.py" else "module"


def by_kind(scores: list[Score], kinds: list[str]) -> dict[str, float]:
    """Bits per byte of the documents of each kind that has any text."""
    groups: dict[str, list[Score]] = {}
    for score, kind in zip(scores, kinds, strict=True):
        groups.setdefault(kind, []).append(score)
    return {kind: bits_per_byte(group) for kind, group in sorted(groups.items())}


def _documents_table(chosen: list[int], paths: list[str], scores: list[Score]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("document", "path", "num_bytes", "num_tokens", "nats"))
    for number, path, score in zip(chosen, paths, scores, strict=True):
        writer.writerow((number, path, score.num_bytes, score.num_tokens, score.nats))
    return stream.getvalue()


def draw_samples(
    model: Starcoder2, tokenizer: Tokenizer, texts: list[bytes], params: Evaluation
) -> list[dict[str, Any]]:
    """One completion and one fill-in-the-middle from the given texts.

    The completion continues the first half of the lines of the text that is nearest to 40 lines; the gap is the line
    in the middle of the same text.
    """
    lines = min((text.decode("utf-8", "replace").splitlines(keepends=True) for text in texts), key=_distance_to_40)
    middle = len(lines) // 2
    sampling: dict[str, Any] = {
        "max_new_tokens": min(params.max_new_tokens, model.config.max_position_embeddings // 2),
        "temperature": params.temperature,
        "top_p": params.top_p,
        "seed": params.seed,
    }
    prompt = "".join(lines[:middle])
    prefix, suffix = prompt, "".join(lines[middle + 1 :])
    return [
        {"kind": "completion", "prompt": prompt, "text": complete(model, tokenizer, prompt, **sampling)},
        {
            "kind": "fill_in_the_middle",
            "prompt": prefix,
            "suffix": suffix,
            "expected": lines[middle] if lines else "",
            "text": fill_in_the_middle(model, tokenizer, prefix, suffix, **sampling),
        },
    ]


def _distance_to_40(lines: list[str]) -> int:
    return abs(len(lines) - 40)
