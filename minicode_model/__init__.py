"""The model: all that a person needs who has only token shards."""

import os

# OpenMP threads sleep while they wait unless the user decides: spinning, they take the processor from each other when
# anything else runs. Two threads on two cores, three other busy processes: 0.40 s a step instead of 1.4 to 5.
# Read once, when torch is imported, which nothing here does before.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
