"""What to watch a training by: `metrics.csv` and, where TensorBoard is installed, its files; both hold times.

So they are no part of the checkpoint, whose bytes depend on no clock. They are written while training goes on.
"""

import csv
import importlib.util
import io
import logging
from pathlib import Path
from typing import Any

from minicode_model.artifact import storage_errors, write_file
from minicode_model.config import Checkpoint
from minicode_model.training.batches import Batch
from minicode_model.training.callbacks import METRICS, SPEEDS, VALIDATION, Metrics, StepCallback, Validation
from minicode_model.training.module import TrainingModule

logger = logging.getLogger("minicode.checkpoint")

CSV_FILE = "metrics.csv"


class Logs(StepCallback):
    """Writes what Metrics and Validation recorded; stands behind them in the list of callbacks.

    A resumed training writes the CSV file anew from its state, and a further TensorBoard file into the same folder.

    Args:
        folder: Where the files go.
        metrics: Gives the rows of the steps and of the speeds.
        validation: Gives the row of each validation.
        params: The [checkpoint] section.
    """

    def __init__(self, folder: Path, metrics: Metrics, validation: Validation, params: Checkpoint) -> None:
        self.folder, self.params, self.metrics, self.validation = folder, params, metrics, validation
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self.board: Any = None
        if params.tensorboard and importlib.util.find_spec("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter

            self.board = SummaryWriter(str(folder))
        elif params.tensorboard:
            logger.info("no TensorBoard files: pip install tensorboard; %s is written", folder / CSV_FILE)

    def on_step(self, trainer: object, module: TrainingModule, batch: Batch) -> None:
        """Write the last rows."""
        step = int(self.metrics.rows[-1][0])
        is_due = step % self.params.log_every_steps == 0 or step == self.params.max_steps
        if self.board is not None:
            for names, rows in (
                (METRICS, self.metrics.rows),
                (VALIDATION, self.validation.rows),
                (SPEEDS, self.metrics.speeds),
            ):
                if rows and rows[-1][0] == step:
                    for name, value in zip(names[1:], rows[-1][1:], strict=True):
                        self.board.add_scalar(name, value, step)
            if is_due:
                self.board.flush()
        if is_due:
            text = metrics_table(self.metrics, self.validation, with_speeds=True)
            write_file(self.folder / CSV_FILE, lambda path: path.write_text(text))


def metrics_table(metrics: Metrics, validation: Validation, *, with_speeds: bool = False) -> str:
    """The rows as CSV, one a step; floats in the shortest form that reads back equal.

    Columns: METRICS, then validation_loss and, if asked for, SPEEDS, empty where they weren't measured.
    """
    measured = {int(step): loss for step, loss in validation.rows}
    speeds = {int(step): values for step, *values in metrics.speeds}
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow((*METRICS, *VALIDATION[1:], *(SPEEDS[1:] if with_speeds else ())))
    for step, loss, norm, rate, tokens in metrics.rows:
        further = speeds.get(int(step), [""] * len(SPEEDS[1:])) if with_speeds else []
        writer.writerow((int(step), loss, norm, rate, int(tokens), measured.get(int(step), ""), *further))
    return stream.getvalue()
