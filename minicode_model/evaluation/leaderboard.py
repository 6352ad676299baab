"""The history of evaluated checkpoints: one small file each, kept beside the artefacts, and the table made of them.

An artefact is replaced when it is made again; its history must not be. So each evaluated checkpoint leaves
`<digests>.json` in a folder that only grows, and the leaderboard artefact is a view of that folder.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minicode_model.artifact import Artifact, digest_of, open_artifact, write_artifact, write_file
from minicode_model.checkpoint import read_settings
from minicode_model.errors import CorruptArtifactError

Row = dict[str, Any]
FIGURES = (
    "bits_per_byte",
    "humaneval_pass@1",
    "mbpp_pass@1",
    "above_exact_match",
    "both_sides_exact_match",
    "repository_exact_match",
    "above_same_bits_per_byte",
    "repository_bits_per_byte",
)
"""Columns of the table behind those that say which run it is; empty where it wasn't measured."""
COLUMNS = ("run", "optimizer", "num_parameters", "num_tokens", *FIGURES, "checkpoint")


def checkpoint_row(run: str, checkpoint: Path, evaluation: Path, scores: Path | None = None) -> Row:
    """One row of the leaderboard.

    Args:
        run: What the run is called, e.g. its preset.
        checkpoint: The checkpoint artefact.
        evaluation: Its evaluation artefact.
        scores: Its benchmark_scores artefact, where it has one.
    """
    trained, measured = (open_artifact(path, verify=False) for path in (checkpoint, evaluation))
    scored = open_artifact(scores, verify=False) if scores else None
    results = json.loads(measured.file("results.json").read_text())
    return {
        "run": run,
        "optimizer": read_settings(checkpoint).training.get("optimizer", ""),
        "num_parameters": trained.metadata["num_parameters"],
        "num_tokens": trained.metadata["num_tokens"],
        "bits_per_byte": results["bits_per_byte"]["model"],
        **{f"bits_per_byte_{kind}": value for kind, value in results["bits_per_byte_by_kind"].items()},
        **(scored.metadata if scored else {}),
        "checkpoint": trained.digest,
        "evaluation": measured.digest,
        "benchmark_scores": scored.digest if scored else "",
    }


def record(history: Path, row: Row) -> Path:
    """Put a row into the history; the same checkpoint with the same results is the same file."""
    history.mkdir(parents=True, exist_ok=True)
    key = digest_of([row["run"], row["checkpoint"], row["evaluation"], row["benchmark_scores"]])[:16]
    path = history / f"{key}.json"
    write_file(path, lambda partial: partial.write_text(json.dumps(row, indent=1, sort_keys=True) + "\n"))
    return path


def read_history(history: Path) -> list[Row]:
    """All rows, the fewest bits per byte first.

    Raises:
        CorruptArtifactError: A file isn't one of ours.
    """
    rows = []
    for path in sorted(history.glob("*.json")):
        try:
            row = json.loads(path.read_bytes())
            rows.append((row["bits_per_byte"], row["run"], path.name, row))
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptArtifactError(f"{path}: not a row of the history: {error!r}", hint=f"delete {path}") from error
    return [row for *_, row in sorted(rows, key=lambda entry: entry[:3])]


def write_leaderboard(history: Path, folder: Path, *, inputs: dict[str, str], config_digest: str) -> Artifact:
    """The leaderboard artefact: leaderboard.json (all figures) and leaderboard.md (the table)."""
    rows = read_history(history)
    with write_artifact(folder, name="leaderboard", config_digest=config_digest, inputs=inputs) as writer:
        (writer.path / "leaderboard.json").write_text(json.dumps(rows, indent=1, sort_keys=True) + "\n")
        (writer.path / "leaderboard.md").write_text(leaderboard_table(rows) + "\n")
        writer.metadata.update({"num_checkpoints": len(rows), "best_bits_per_byte": rows[0]["bits_per_byte"]})
    return open_artifact(folder, verify=False)


def leaderboard_table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table, in their order."""
    header = [name.replace("_", " ") for name in COLUMNS]
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(_cell(name, row.get(name)) for name in COLUMNS) + " |" for row in rows]
    return "\n".join(lines)


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name == "checkpoint":
        return f"`{value[:8]}`"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}" if isinstance(value, float) else str(value)
