"""The model: all that a person needs who has only token shards."""
