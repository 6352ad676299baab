"""Training behind an asset: in this process or in one of its own, with the curves in the web UI while it goes on."""

import csv
import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minicode_assets.defs.pictures import line_plot
from minicode_assets.defs.stage import Outcome, StageRun
from minicode_model.artifact import Artifact
from minicode_model.config import Checkpoint, Model

OBSERVE_EVERY_S = 20.0
"""The web UI gets a new point of the curves so often at most. Unit: seconds."""
Curve = tuple[Sequence[float], Sequence[float]]


@dataclass(frozen=True)
class Training:
    """One call of `minicode_model.training.run.train`.

    Attributes:
        shards: The shards to read.
        folder: The checkpoint to write.
        work: Scratch for training states.
        model: The shape.
        params: How it is trained.
        config_digest: For the manifest.
        start: Whose weights come first; None draws them.
        logs: Where metrics.csv with speeds and TensorBoard's files go.
    """

    shards: Path
    folder: Path
    work: Path
    model: Model
    params: Checkpoint
    config_digest: str
    start: Path | None
    logs: Path

    def run(self, on_progress: Callable[[Mapping[str, Any]], None]) -> Artifact:
        """Train in this process."""
        from minicode_model.training.run import train

        arguments = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return train(**arguments, on_progress=on_progress)


class Curves:
    """Shows progress in the web UI as observations of the asset: figures, and the curves so far as a picture.

    Args:
        observe: StageRun.observe.
        every_s: Seconds between two observations at least.
    """

    def __init__(self, observe: Callable[[Mapping[str, Any]], None], every_s: float) -> None:
        self.observe, self.every_s = observe, every_s
        self._shown_at = -math.inf

    def show(self, progress: Mapping[str, Any]) -> None:
        """Take what `train` reports."""
        now = time.monotonic()
        if now - self._shown_at < self.every_s:
            return
        self._shown_at = now
        curves = {name: tuple(zip(*points, strict=True)) for name, points in progress["curves"].items() if points}
        figures = {name: value for name, value in progress.items() if isinstance(value, (int, float))}
        picture = line_plot("Loss so far", "step", "nats a token", curves)  # type: ignore[arg-type]
        self.observe({**figures, "loss_curve": picture})


def training_outcome(run: StageRun, shards: Path, model: Model, params: Checkpoint, start: Path | None) -> Outcome:
    """Train on shards from fresh weights or from `start`; the curves are in the metadata."""
    from minicode_assets.defs.external_training import train_externally

    work = run.layout.work / run.name
    training = Training(
        shards, run.folder, work, model, params, run.config_digest, start, run.layout.training_logs(run.name)
    )
    curves = Curves(run.observe, OBSERVE_EVERY_S)
    if params.launcher == "process":
        artifact = train_externally(training, run.context, curves.show)
    else:
        artifact = training.run(curves.show)
    with (run.folder / "metrics.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    found = {"train": _curve(rows, "loss"), "validation": _curve(rows, "validation_loss")}
    plot = line_plot("Loss", "step", "nats a token", {name: curve for name, curve in found.items() if curve[0]})
    last = found["train"][1][-1]
    return Outcome(artifact, {"loss_is_finite": (math.isfinite(last), {"last": last})}, {"loss_curve": plot})


def _curve(rows: list[dict[str, str]], column: str) -> Curve:
    """Steps and values where the column has one."""
    points = [(float(row["step"]), float(row[column])) for row in rows if row[column]]
    return [step for step, _ in points], [value for _, value in points]
