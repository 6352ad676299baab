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
    """One optimizer made of two, since Lightning steps one: Muon for matrices, AdamW for the rest.

    Muon's update is an orthogonal matrix, scaled so that its root mean square is that of an AdamW update; so both
    share the learning rate and the decay. Matrices of equal shape are made orthogonal together, since on small ones
    the number of calls costs more than their work. Source: Keller Jordan's Muon; the scale from Moonlight
    (arXiv 2502.16982); torch.optim.Muon is the oracle in the tests.

    Args:
        matrices: What Muon updates.
        adamw: The optimizer of the rest.
        params: Learning rate, momentum and decay.
    """

    def __init__(self, matrices: list[nn.Parameter], adamw: torch.optim.AdamW, params: Checkpoint) -> None:
        muon = {"params": matrices, "lr": params.learning_rate, "weight_decay": params.weight_decay}
        super().__init__([muon | {"momentum": params.muon_momentum}, *adamw.param_groups], {})
        self.adamw = adamw
        self._share()

    def _share(self) -> None:
        """Let AdamW work on this optimizer's groups and state, which are what is saved and restored."""
        self.adamw.param_groups = self.param_groups[1:]
        self.adamw.state = self.state

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Compute the gradients by the closure, if any, and update by both parts."""
        loss: Tensor | None = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._step_matrices()
        self.adamw.step()
        return loss

    @torch.no_grad()
    def _step_matrices(self) -> None:
        group = self.param_groups[0]
        by_shape: dict[tuple[int, int], list[nn.Parameter]] = {}
        for parameter in group["params"]:
            if parameter.grad is not None:
                by_shape.setdefault((min(parameter.shape), max(parameter.shape)), []).append(parameter)
        for (_, longer), matrices in by_shape.items():
            updates = orthogonalise(torch.stack([self._momentum(matrix, group["momentum"]) for matrix in matrices]))
            for matrix, update in zip(matrices, updates, strict=True):
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                update = update if matrix.shape[0] <= matrix.shape[1] else update.T
                matrix.add_(update, alpha=-group["lr"] * UPDATE_ROOT_MEAN_SQUARE * longer**0.5)

    def _momentum(self, matrix: nn.Parameter, momentum: float) -> Tensor:
        """Nesterov's momentum of the gradient, lying on its longer side."""
        assert matrix.grad is not None
        state = self.state[matrix]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(matrix)
        buffer = state["momentum_buffer"].lerp_(matrix.grad, 1 - momentum)
        direction: Tensor = matrix.grad.lerp(buffer, momentum)
        return direction if direction.shape[0] <= direction.shape[1] else direction.T

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore groups and state."""
        super().load_state_dict(state_dict)
        self._share()


UPDATE_ROOT_MEAN_SQUARE = 0.2
"""Of an orthogonal update after scaling. Source: Moonlight."""
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5
"""Coefficients of the quintic iteration, and how often it runs. Source: Keller Jordan's Muon."""


def orthogonalise(matrices: Tensor) -> Tensor:
    """Each matrix (rows at most columns) with its singular values moved to about 1, in bfloat16."""
    a, b, c = NEWTON_SCHULZ
    result = matrices.bfloat16()
    result = result / result.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = result @ result.mT
        result = torch.baddbmm(result, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), result, beta=a)
    return result
