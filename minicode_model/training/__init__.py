"""Training with Lightning: data order, optimizer, schedule, what happens between steps, and exact resume."""
