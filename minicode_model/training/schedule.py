"""The learning rate as a function of the step alone, so that nothing has to be restored on resume."""

import math

from minicode_model.config import Checkpoint


def learning_rate_at(step: int, params: Checkpoint) -> float:
    """Learning rate of the optimizer step number `step`, counted from 0.

    Grows linearly over `warmup_fraction` of the steps to the peak. Then `wsd` stays at the peak and falls linearly
    over the last `decay_fraction` of the steps; `cosine` falls along half a cosine. Both end one step after the last
    at `min_learning_rate_fraction` of the peak.
    """
    warmup_steps = round(params.warmup_fraction * params.max_steps)
    if step < warmup_steps:
        return params.learning_rate * ((step + 1) / warmup_steps)
    floor = params.min_learning_rate_fraction
    if params.schedule == "cosine":
        progress = (step - warmup_steps) / max(1, params.max_steps - warmup_steps)
        remaining = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    else:
        decay_steps = round(params.decay_fraction * params.max_steps)
        remaining = min(1.0, (params.max_steps - step) / decay_steps) if decay_steps else 1.0
    return params.learning_rate * (floor + (1 - floor) * remaining)
