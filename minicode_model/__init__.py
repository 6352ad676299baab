"""The model: all that a person needs who has only token shards."""

import os

# Threads of OpenMP that wait for each other spin first, for milliseconds by default: where anything else runs they take
# the processor from it and from each other. Two threads on two cores beside three busy processes: 0.75 s a step instead
# of 1.4 to 5; alone 0.22 s both ways, and 0.25 s without any spinning. Read once, when torch is imported.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
