"""Personal data and secrets in texts: where they are, by rules of ours and optionally by a model."""
