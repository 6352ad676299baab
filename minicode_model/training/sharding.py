"""Weights, gradients and optimizer state cut over the devices (FSDP, torch's `fully_shard`), by Lightning's strategy.

States are gathered and written by one process in the same format as without sharding; on load each process cuts its
part out again. A finished checkpoint doesn't show how it was trained.
"""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.strategies import ModelParallelStrategy
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import (
    FullyShardedDataParallel,
    OptimStateKeyType,
    fully_shard,
    register_fsdp_forward_method,
)

from minicode_model.model import Starcoder2

_FULL = StateDictOptions(full_state_dict=True, cpu_offload=True)


class Sharded(ModelParallelStrategy):
    """FSDP over all devices, whose states go through our CheckpointIO like any other."""

    def __init__(self, devices: int) -> None:
        super().__init__(data_parallel_size=devices, tensor_parallel_size=1, save_distributed_checkpoint=False)

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a state, and let every process take its part of weights and optimizer state."""
        state = self.checkpoint_io.load_checkpoint(Path(self.broadcast(checkpoint_path)))
        assert self.model is not None
        set_model_state_dict(self.model, state["state_dict"], options=_FULL)
        for optimizer, saved in zip(self.optimizers, state["optimizer_states"], strict=True):
            named = FullyShardedDataParallel.rekey_optim_state_dict(saved, OptimStateKeyType.PARAM_NAME, self.model)
            set_optimizer_state_dict(self.model, optimizer, named, options=_FULL)
        return state


def shard(network: Starcoder2, mesh: DeviceMesh) -> None:
    """Cut the weights of a network in place, block by block, so that a block is whole only while it computes."""
    for block in network.model.layers:
        fully_shard(block, mesh=mesh)
    fully_shard(network, mesh=mesh)
    register_fsdp_forward_method(network, "loss")


def whole(network: Starcoder2) -> Starcoder2:
    """The network with all its weights on the CPU of the first process (on the others empty); called by all."""
    state = get_model_state_dict(network, options=_FULL)
    with torch.device("meta"):
        gathered = Starcoder2(network.config)
    if state:
        gathered.load_state_dict(state, assign=True)
    return gathered
