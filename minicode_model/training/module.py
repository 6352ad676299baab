"""The Lightning side of the model: what one step does."""

import math
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from minicode_model.config import Checkpoint
from minicode_model.errors import CheckpointError, DivergenceError
from minicode_model.model import Starcoder2
from minicode_model.training.batches import Batch
from minicode_model.training.optim import make_optimizer
from minicode_model.training.schedule import learning_rate_at


class TrainingModule(LightningModule):
    """Holds the network and what the last step measured.

    Attributes:
        step_loss: Mean loss (nats a token) over all batches of the step.
        gradient_norm: Global gradient norm before clipping.
    """

    def __init__(self, network: Starcoder2, params: Checkpoint) -> None:
        super().__init__()
        self.network = network
        self.params = params
        self.step_loss = 0.0
        self.gradient_norm = 0.0
        self._loss_sum: Tensor | None = None
        network.model.gradient_checkpointing = params.gradient_checkpointing
        self._loss = torch.compile(network.loss) if params.compile else network.loss

    def configure_model(self) -> None:
        """Cut the weights over the devices, if so configured; Lightning calls this once the processes are connected."""
        if self.params.sharded and not isinstance(self.network, FSDPModule):
            from minicode_model.training.sharding import shard

            assert self.device_mesh is not None
            shard(self.network, self.device_mesh["data_parallel"])
            self._loss = torch.compile(self.network.loss) if self.params.compile else self.network.loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW; the learning rate is set before each step."""
        return make_optimizer(self.network, self.params)

    def on_train_start(self) -> None:
        """Refuse a resumed optimizer whose tensors aren't of their weights' shape; torch itself would read past them.

        Raises:
            CheckpointError: The state was made by other means than a training with these sections.
        """
        for optimizer in self.trainer.optimizers:
            for parameter, state in optimizer.state.items():
                for name, value in state.items():
                    if isinstance(value, Tensor) and value.ndim and value.shape != parameter.shape:
                        raise CheckpointError(
                            f"optimizer state {name}: found shape {[*value.shape]}, expected {[*parameter.shape]}",
                            hint="delete the training states; then run again",
                        )

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """The batch's share of the step's mean loss.

        Divided by the targets of the whole step, so that accumulating over batches and devices is exactly one large
        batch (a step of nothing but prompts has none); times the number of batches and devices, because Lightning and
        DDP divide by them.
        """
        loss, _ = self._loss(batch.tokens_BT, batch.segments_BT, batch.targets_BT)
        share = loss / max(1, batch.step_targets)
        self._loss_sum = share.detach() if self._loss_sum is None else self._loss_sum + share.detach()
        return share * self.params.gradient_accumulation_steps * self.params.devices

    def configure_gradient_clipping(self, optimizer: torch.optim.Optimizer, *_: Any, **__: Any) -> None:
        """Called once a step, before the update: measure, refuse what isn't finite, clip, set the learning rate.

        Raises:
            DivergenceError: Loss or gradient norm is NaN or infinite; the weights are still those of the step before.
        """
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.params.gradient_clip)
        norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
        assert self._loss_sum is not None
        self.step_loss, self.gradient_norm = float(sum_over_devices(self._loss_sum)), float(norm)
        self._loss_sum = None
        learning_rate = learning_rate_at(self.global_step, self.params)
        if not (math.isfinite(self.step_loss) and math.isfinite(self.gradient_norm)):
            raise DivergenceError(
                f"step {self.global_step}: loss {self.step_loss}, gradient norm {self.gradient_norm}, learning rate "
                f"{learning_rate:.2e}: expected finite numbers; {self._blame()}",
                hint="lower [checkpoint] learning_rate or raise warmup_fraction; then run again",
            )
        for group in optimizer.param_groups:
            group["lr"] = learning_rate

    def _blame(self) -> str:
        """Which weights or gradients are the first that aren't finite."""
        for name, parameter in self.network.named_parameters():
            if not parameter.isfinite().all():
                return f"first weight that isn't: {name}"
        for name, parameter in self.network.named_parameters():
            if parameter.grad is not None and not parameter.grad.isfinite().all():
                return f"first gradient that isn't: {name}"
        return "all weights and gradients are finite"


def sum_over_devices(value: Tensor) -> Tensor:
    """The sum over all processes of a training; the value itself where there is one."""
    if torch.distributed.is_initialized():
        torch.distributed.all_reduce(value)
    return value
