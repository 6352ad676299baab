"""Output matrix and cross-entropy in one pass over slices of tokens, because the logits are the largest tensor.

Tensors carry suffix letters: N tokens of all sequences in one row, C channels, V vocabulary.
"""

import torch
from torch import Tensor
from torch.nn import functional

SLICE_TOKENS = 512
"""Tokens a slice on the CPU, where its logits should stay in the cache."""
DEVICE_SLICE_TOKENS = 16_384
"""Tokens a slice elsewhere, where only the memory counts: 2 GB of float32 logits at V = 32768."""


class LinearCrossEntropy(torch.autograd.Function):
    """Output matrix and cross-entropy together, a slice of tokens at a time, gradients in the same pass.

    The logits of 8,192 tokens are 134 MB in float32 at V = 4096; a slice's stay in the processor's cache. Measured on
    two cores in bfloat16: 80 ms instead of 151 for N = 8192, C = 128, V = 4096 (benchmarks/training.py).
    """

    @staticmethod
    def forward(  # type: ignore[no-untyped-def]
        ctx, hidden_NC: Tensor, weight_VC: Tensor, target_N: Tensor, counts_N: Tensor
    ) -> Tensor:
        """Sum of the negative log-likelihoods in float32, where `counts_N` is True.

        The matrix products run in autocast's dtype where autocast is on, otherwise in the hidden states' own.
        """
        device = hidden_NC.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden_NC.dtype
        ctx.dtypes = hidden_NC.dtype, weight_VC.dtype
        with torch.autocast(device, enabled=False):
            total, *gradients = _loss_by_slices(
                hidden_NC.to(dtype), weight_VC.to(dtype), target_N, counts_N, hidden_NC.requires_grad
            )
        ctx.save_for_backward(*gradients)
        return total

    @staticmethod
    def backward(ctx, upstream: Tensor) -> tuple[Tensor, Tensor, None, None]:  # type: ignore[no-untyped-def]
        """The gradients that the forward pass left, times the upstream factor."""
        gradient_NC, gradient_VC = ctx.saved_tensors
        hidden_dtype, weight_dtype = ctx.dtypes
        return gradient_NC.to(hidden_dtype) * upstream, (gradient_VC * upstream).to(weight_dtype), None, None


def _loss_by_slices(
    hidden_NC: Tensor, weight_VC: Tensor, target_N: Tensor, counts_N: Tensor, needs_gradient: bool
) -> tuple[Tensor, Tensor, Tensor] | tuple[Tensor]:
    total = torch.zeros((), dtype=torch.float32, device=hidden_NC.device)
    gradient_NC = torch.empty_like(hidden_NC)
    gradient_VC = torch.zeros_like(weight_VC, dtype=torch.float32)
    on_cpu = hidden_NC.device.type == "cpu"
    length = SLICE_TOKENS if on_cpu else DEVICE_SLICE_TOKENS
    for start in range(0, len(target_N), length):
        part = slice(start, start + length)
        hidden, target, counts = hidden_NC[part], target_N[part, None], counts_N[part, None]
        logits = functional.linear(hidden, weight_VC).float()
        probability = logits.softmax(dim=1)
        # log(sum(exp)) = largest logit - log(largest probability), which is at least 1 / V: exact, and no second pass
        log_sum = logits.amax(dim=1, keepdim=True) - probability.amax(dim=1, keepdim=True).log()
        total += ((log_sum - logits.gather(1, target)) * counts).sum()
        if needs_gradient:
            error = probability.scatter_add_(1, target, torch.full_like(log_sum, -1.0)).to(hidden.dtype)
            gradient_NC[part] = (error @ weight_VC) * counts
            if error.dtype == gradient_VC.dtype:
                gradient_VC.addmm_(error.T, hidden * counts)
            else:
                gradient_VC += error.T @ (hidden * counts)
    return (total, gradient_NC, gradient_VC) if needs_gradient else (total,)
