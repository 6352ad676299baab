"""AdamW with its weight-decay groups."""

import torch
from torch import nn

from minicode_model.config import Checkpoint


def make_optimizer(network: nn.Module, params: Checkpoint) -> torch.optim.AdamW:
    """Fused AdamW: matrices (the embedding among them) decay, biases and norms don't. Source: StarCoder2, nanoGPT."""
    matrices = [parameter for parameter in network.parameters() if parameter.ndim >= 2]
    vectors = [parameter for parameter in network.parameters() if parameter.ndim < 2]
    return torch.optim.AdamW(
        [{"params": matrices, "weight_decay": params.weight_decay}, {"params": vectors, "weight_decay": 0.0}],
        lr=params.learning_rate,
        betas=(params.beta1, params.beta2),
        eps=1e-8,
        fused=True,
    )
