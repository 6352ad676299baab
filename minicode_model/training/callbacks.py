"""What happens between steps: metrics, validation, divergence, progress, states, interruption."""

import logging
import signal
import statistics
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from minicode_model.config import Checkpoint
from minicode_model.errors import DivergenceError
from minicode_model.training.batches import Batch, Sequences, StepLoader, sequence_order, stack
from minicode_model.training.module import TrainingModule, sum_over_devices
from minicode_model.training.schedule import learning_rate_at
from minicode_model.training.state import remove_old_states, state_folder
from minicode_model.training.throughput import known_peak, operations_per_token

logger = logging.getLogger("minicode.checkpoint")

METRICS = ("step", "loss", "gradient_norm", "learning_rate", "tokens")
VALIDATION = ("step", "validation_loss")
SPEEDS = ("step", "tokens_per_second", "mfu", "data_wait_fraction")
"""Predicted tokens a second, the share of the measured peak, the share of the time spent waiting; over the steps since
the last such row, every `log_every_steps`. As all times, they differ from run to run."""
SMOOTHING_STEPS = 20


class StepCallback(Callback):
    """Calls `on_step` after each optimizer step, not after each accumulated batch."""

    params: Checkpoint

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Count batches into steps."""
        if (batch_idx + 1) % self.params.gradient_accumulation_steps == 0:
            assert isinstance(pl_module, TrainingModule)
            self.on_step(trainer, pl_module, batch)

    def on_step(self, trainer: Trainer, module: TrainingModule, batch: Batch) -> None:
        """What to do after step number `trainer.global_step`."""
        raise NotImplementedError


class Metrics(StepCallback):
    """One row a step; progress in the log; stops when the loss climbs. Saved and restored with the state.

    Attributes:
        rows: Rows of METRICS: step from 1, loss (nats a token), norm before clipping, rate, predicted tokens so far.
        seconds: Time spent training, over all processes that took part.
        speeds: Rows of SPEEDS.
        peak: Operations a second of a large matrix product on all devices together, measured before the first step.

    Args:
        params: The [checkpoint] section.
        loader: Gives the batches, and says how long they took.
    """

    def __init__(self, params: Checkpoint, loader: StepLoader) -> None:
        self.params = params
        self.loader = loader
        self.rows: list[tuple[float, ...]] = []
        self.seconds = 0.0
        self.speeds: list[tuple[float, ...]] = []
        self.peak = 0.0
        self._operations = 0.0
        self._waited_before = 0.0
        self._mark = 0.0
        self._logged = (0.0, 0.0, 0.0)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure the peak, and start the clock."""
        assert isinstance(pl_module, TrainingModule)
        dtype = torch.bfloat16 if self.params.precision == "bf16" else torch.float32
        self.peak = known_peak(pl_module.device, dtype, torch.get_num_threads()) * self.params.devices
        self._operations = operations_per_token(pl_module.network.config, self.loader.split.seq_len)
        self._mark = time.perf_counter()
        self._logged = (self.seconds, self.waiting_seconds, self.tokens)

    @property
    def waiting_seconds(self) -> float:
        """Of `seconds`, those in which training stood still for want of a batch."""
        return self._waited_before + self.loader.seconds

    @property
    def tokens_per_second(self) -> float:
        """Predicted tokens a second, over the whole training."""
        return self.tokens / max(1e-9, self.seconds)

    @property
    def mfu(self) -> float:
        """Share of the measured peak, over the whole training, 0..1."""
        return self.tokens_per_second * self._operations / self.peak

    @property
    def data_wait_fraction(self) -> float:
        """Share of the time spent waiting for data, over the whole training, 0..1."""
        return self.waiting_seconds / max(1e-9, self.seconds)

    @property
    def tokens(self) -> float:
        """Predicted tokens so far."""
        return self.rows[-1][-1] if self.rows else 0.0

    def on_step(self, trainer: Trainer, module: TrainingModule, batch: Batch) -> None:
        """Record the step."""
        step = trainer.global_step
        rate = learning_rate_at(step - 1, self.params)
        self.rows.append((step, module.step_loss, module.gradient_norm, rate, self.tokens + batch.step_targets))
        self._stop_if_climbing()
        now = time.perf_counter()
        self.seconds += now - self._mark
        self._mark = now
        if step % self.params.log_every_steps == 0 or step == self.params.max_steps:
            self._log_progress(step)

    def _log_progress(self, step: int) -> None:
        former, self._logged = self._logged, (self.seconds, self.waiting_seconds, self.tokens)
        seconds, waiting, tokens = (now - then for now, then in zip(self._logged, former, strict=True))
        speed = tokens / max(1e-9, seconds)
        mfu = speed * self._operations / self.peak
        self.speeds.append((step, speed, mfu, waiting / max(1e-9, seconds)))
        remaining = (self.params.max_steps - step) * self.seconds / step
        logger.info(
            "step %d of %d: loss %.3f, %.0f tokens/s, MFU %.0f %%, %.0f s to go",
            step,
            self.params.max_steps,
            self.smoothed(len(self.rows)),
            speed,
            100 * mfu,
            remaining,
        )

    def smoothed(self, end: int) -> float:
        """Mean loss of the SMOOTHING_STEPS rows before `end`."""
        return statistics.fmean(row[1] for row in self.rows[max(0, end - SMOOTHING_STEPS) : end])

    def _stop_if_climbing(self) -> None:
        if len(self.rows) % SMOOTHING_STEPS or len(self.rows) < 2 * SMOOTHING_STEPS:
            return
        means = [self.smoothed(end) for end in range(SMOOTHING_STEPS, len(self.rows) + 1, SMOOTHING_STEPS)]
        best = min(means)
        if means[-1] > best + self.params.max_loss_increase_nats:
            raise DivergenceError(
                f"step {len(self.rows)}: loss {means[-1]:.3f} (mean of {SMOOTHING_STEPS} steps), best was {best:.3f} "
                f"at step {(means.index(best) + 1) * SMOOTHING_STEPS}; gradient norm {self.rows[-1][2]:.3g}, "
                f"learning rate {self.rows[-1][3]:.2e}",
                hint="lower [checkpoint] learning_rate or raise warmup_fraction; then run again",
            )

    def state_dict(self) -> dict[str, Any]:
        """Rows and clocks."""
        rows = torch.tensor(self.rows, dtype=torch.float64).reshape(-1, len(METRICS))
        speeds = torch.tensor(self.speeds, dtype=torch.float64).reshape(-1, len(SPEEDS))
        return {"rows": rows, "speeds": speeds, "seconds": self.seconds, "waiting_seconds": self.waiting_seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state."""
        self.rows = [tuple(row) for row in state_dict["rows"].tolist()]
        self.speeds = [tuple(row) for row in state_dict["speeds"].tolist()]
        self.seconds, self._waited_before = state_dict["seconds"], state_dict["waiting_seconds"]


class Validation(StepCallback):
    """Mean loss on a fixed sample of held-out sequences, every `validate_every_steps` and at the end."""

    def __init__(self, split: Sequences, params: Checkpoint) -> None:
        self.params = params
        self.split = split
        self.indices = sequence_order(split.num_sequences, params.seed, 0)[: params.validation_sequences]
        self.rows: list[tuple[float, ...]] = []

    def on_step(self, trainer: Trainer, module: TrainingModule, batch: Batch) -> None:
        """Measure, if due."""
        step = trainer.global_step
        if step % self.params.validate_every_steps and step != self.params.max_steps:
            return
        with torch.no_grad(), trainer.precision_plugin.forward_context():
            loss = self.measure(module)
        self.rows.append((step, loss))
        logger.info("step %d of %d: validation loss %.3f", step, self.params.max_steps, loss)

    def measure(self, module: TrainingModule) -> float:
        """Mean loss (nats a token) over the sample.

        All devices compute equally often, since sharded weights come together in each pass: one without a sequence left
        reads the first again, and doesn't count it.
        """
        totals = torch.zeros(2, dtype=torch.float64)
        indices = self.indices[module.global_rank :: self.params.devices]
        for start in range(0, -(-len(self.indices) // self.params.devices), self.params.batch_size):
            chosen = indices[start : start + self.params.batch_size]
            tensors = stack(self.split, chosen if len(chosen) else self.indices[:1])
            loss, count = module.network.loss(*(tensor.to(module.device) for tensor in tensors))
            if len(chosen):
                totals += torch.tensor([float(loss), float(count)], dtype=torch.float64)
        total, targets = sum_over_devices(totals.to(module.device)).tolist()
        return float(total / max(1, targets))

    def state_dict(self) -> dict[str, Any]:
        """The rows."""
        return {"rows": torch.tensor(self.rows, dtype=torch.float64).reshape(-1, len(VALIDATION))}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state."""
        self.rows = [tuple(row) for row in state_dict["rows"].tolist()]


Progress = Callable[[Mapping[str, Any]], None]
"""Takes the last figures by name, and `curves`: points (step, value) by name."""
MAX_CURVE_POINTS = 500


class Reports(StepCallback):
    """Tells somebody how training goes; stands behind Metrics and Validation in the list of callbacks."""

    def __init__(self, metrics: Metrics, validation: Validation, params: Checkpoint, on_progress: Progress) -> None:
        self.params, self.metrics, self.validation, self.on_progress = params, metrics, validation, on_progress

    def on_step(self, trainer: Trainer, module: TrainingModule, batch: Batch) -> None:
        """Report, if due."""
        step = trainer.global_step
        if step % self.params.log_every_steps and step != self.params.max_steps:
            return
        rows = self.metrics.rows
        stride = -(-len(rows) // MAX_CURVE_POINTS)
        ends = range(stride, len(rows) + 1, stride)
        train = [(rows[end - 1][0], statistics.fmean(row[1] for row in rows[end - stride : end])) for end in ends]
        self.on_progress(
            {
                **dict(zip(METRICS, rows[-1], strict=True)),
                "max_steps": self.params.max_steps,
                **{name: getattr(self.metrics, name) for name in SPEEDS[1:]},
                "curves": {"train": train, "validation": list(self.validation.rows)},
            }
        )


class States(StepCallback):
    """Writes a resumable state every `checkpoint_every_steps`, and on SIGINT or SIGTERM before it lets them through.

    An interruption in the middle of a step would leave torn weights, so the signal is only noted, the step is finished
    and saved, and then the signal is raised again for whoever handled it before. Must be the last callback, so that a
    state holds what the others recorded for its step.
    """

    def __init__(self, work: Path, params: Checkpoint) -> None:
        self.params = params
        self.work = work
        self._noted: int | None = None
        self._former: dict[int, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take over the signals, where this is the main thread."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._former[number] = signal.signal(number, self._note)

    def on_step(self, trainer: Trainer, module: TrainingModule, batch: Batch) -> None:
        """Save if due or interrupted."""
        step = trainer.global_step
        if self.params.devices > 1:  # all devices stop at the same step
            noted = sum_over_devices(torch.tensor(float(self._noted is not None), device=module.device))
            self._noted = self._noted or (int(signal.SIGINT) if noted > 0 else None)
        is_due = step % self.params.checkpoint_every_steps == 0 and step < self.params.max_steps
        if is_due or self._noted is not None:
            trainer.save_checkpoint(state_folder(self.work, step))
            if trainer.is_global_zero:
                remove_old_states(self.work)
        if self._noted is not None:
            logger.warning("interrupted: training state saved at step %d; the same command goes on from there", step)
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give the signals back."""
        self.give_signals_back()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Give the signals back."""
        self.give_signals_back()

    def give_signals_back(self) -> None:
        """Put the former handlers in place."""
        for number, handler in self._former.items():
            signal.signal(number, handler)
        self._former = {}

    def raise_noted_signal(self) -> None:
        """After the loop has ended: let a noted signal through to whoever handled it before.

        Raises:
            KeyboardInterrupt: The former handler let it pass.
        """
        if self._noted is not None:
            signal.raise_signal(self._noted)
            raise KeyboardInterrupt

    def _note(self, number: int, frame: Any) -> None:
        self._noted = number
        logger.warning("signal %s: finishing the step", signal.Signals(number).name)
