"""AdamW with its weight-decay groups, and Muon for the matrices inside the blocks."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from minicode_model.config import Checkpoint

ADAM_EPSILON = 1e-8
"""Source: StarCoder2 (model.md 1.2)."""


def make_optimizer(network: nn.Module, params: Checkpoint) -> torch.optim.Optimizer:
    """The optimizer of the configuration: matrices (the embedding among them) decay, biases and norms don't.

    `adamw` is torch's fused AdamW. `muon` updates the matrices inside the blocks by Muon, the rest by AdamW.
    """
    named = list(network.named_parameters())
    vectors = [parameter for _, parameter in named if parameter.ndim < 2]
    inner = [parameter for name, parameter in named if parameter.ndim == 2 and ".layers." in name]
    outer = [parameter for name, parameter in named if parameter.ndim == 2 and ".layers." not in name]
    if params.optimizer == "muon":
        return MuonWithAdamW(inner, _adamw([outer, vectors], params), params)
    return _adamw([inner + outer, vectors], params)


def _adamw(groups: list[list[nn.Parameter]], params: Checkpoint) -> torch.optim.AdamW:
    matrices, vectors = groups
    return torch.optim.AdamW(
        [{"params": matrices, "weight_decay": params.weight_decay}, {"params": vectors, "weight_decay": 0.0}],
        lr=params.learning_rate,
        betas=(params.beta1, params.beta2),
        eps=ADAM_EPSILON,
        fused=True,
    )


class MuonWithAdamW(torch.optim.Optimizer):
    """One optimizer made of two, since Lightning steps one.

    Muon's update is an orthogonal matrix, scaled so that its root mean square is that of an AdamW update; so both
    share the learning rate and the decay. Source: Keller Jordan's Muon; the scale from Moonlight (arXiv 2502.16982).

    Args:
        matrices: What Muon updates.
        adamw: The optimizer of the rest.
        params: Learning rate, momentum and decay.
    """

    def __init__(self, matrices: list[nn.Parameter], adamw: torch.optim.AdamW, params: Checkpoint) -> None:
        self.parts: list[torch.optim.Optimizer] = [
            torch.optim.Muon(
                matrices,
                lr=params.learning_rate,
                momentum=params.muon_momentum,
                weight_decay=params.weight_decay,
                adjust_lr_fn="match_rms_adamw",
            ),
            adamw,
        ]
        super().__init__([group for part in self.parts for group in part.param_groups], {})
        self._share()

    def _share(self) -> None:
        """Let the parts work on this optimizer's groups and state, which are what is saved and restored."""
        remaining = list(self.param_groups)
        for part in self.parts:
            count = len(part.param_groups)
            part.param_groups, remaining = remaining[:count], remaining[count:]
            part.state = self.state

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Compute the gradients by the closure, if any, and update by both parts."""
        loss: Tensor | None = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore groups and state."""
        super().load_state_dict(state_dict)
        self._share()
