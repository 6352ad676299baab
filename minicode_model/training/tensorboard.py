"""The curves as TensorBoard files, to watch a training; no part of the checkpoint, since they hold times."""

from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from minicode_model.config import Checkpoint
from minicode_model.training.batches import Batch
from minicode_model.training.callbacks import METRICS, Metrics, StepCallback, Validation
from minicode_model.training.module import TrainingModule


class TensorBoard(StepCallback):
    """Writes what Metrics and Validation recorded; stands behind them in the list of callbacks.

    A resumed training writes a further file into the same folder, and TensorBoard joins them.

    Args:
        folder: Where the event files go.
        metrics: Gives the row of each step.
        validation: Gives the row of each validation.
        params: The [checkpoint] section.
    """

    def __init__(self, folder: Path, metrics: Metrics, validation: Validation, params: Checkpoint) -> None:
        self.params, self.metrics, self.validation = params, metrics, validation
        self.writer = SummaryWriter(str(folder))

    def on_step(self, trainer: object, module: TrainingModule, batch: Batch) -> None:
        """Write the last rows."""
        step, *values = self.metrics.rows[-1]
        for name, value in zip(METRICS[1:], values, strict=True):
            self.writer.add_scalar(name, value, int(step))
        if self.validation.rows and self.validation.rows[-1][0] == step:
            self.writer.add_scalar("validation_loss", self.validation.rows[-1][1], int(step))
        if step % self.params.log_every_steps == 0 or step == self.params.max_steps:
            self.writer.add_scalar("tokens_per_second", self.metrics.tokens_per_second, int(step))
            self.writer.flush()
