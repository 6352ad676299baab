"""How fast training is, as a share of what the device can do."""

import functools
import time
from collections.abc import Callable

import torch

from minicode_model.config import Model

PEAK_SIZE = {"cpu": 2048, "cuda": 8192}
"""Side of the square matrices whose product is timed."""
PEAK_REPETITIONS = 5


def operations_per_token(model: Model, seq_len: int) -> float:
    """Floating-point operations of forward and backward for one token of a full sequence.

    6 x weights of the matrices, output matrix included and embedding look-up not, plus 12 x layers x width x T for
    attention, where T is the sequence, or the window that is shorter, without a discount for the causal half. Source:
    PaLM's appendix B; model.md 2.1.
    """
    head_size = model.hidden_size // model.num_attention_heads
    attention = 2 * model.hidden_size * (model.hidden_size + model.num_key_value_heads * head_size)
    num_mlp_matrices = 3 if model.hidden_act == "swiglu" else 2
    block = attention + num_mlp_matrices * model.hidden_size * model.intermediate_size
    matrices = model.num_hidden_layers * block + model.vocab_size * model.hidden_size
    keys = min(seq_len, model.sliding_window or seq_len)
    return 6 * matrices + 12 * model.num_hidden_layers * model.hidden_size * keys


def measure_peak(device: torch.device, dtype: torch.dtype, clock: Callable[[], float] = time.perf_counter) -> float:
    """Operations a second of a large matrix product, the best of several: the device's practical peak."""
    size = PEAK_SIZE.get(device.type, PEAK_SIZE["cpu"])
    left, right = torch.ones(2, size, size, device=device, dtype=dtype)
    best = 0.0
    for _ in range(PEAK_REPETITIONS):
        start = clock()
        product = left @ right
        float(product[0, 0])  # waits for the device
        best = max(best, 2 * size**3 / (clock() - start))
    return best


@functools.cache
def known_peak(device: torch.device, dtype: torch.dtype, num_threads: int) -> float:
    """`measure_peak`, once a process for each device, type and number of threads of the CPU."""
    return measure_peak(device, dtype)
