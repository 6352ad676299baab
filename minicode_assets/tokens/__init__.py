"""The corpus becomes what the model reads: a tokenizer, then packed shards of tokens."""
