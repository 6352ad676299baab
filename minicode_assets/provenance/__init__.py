"""Which source a text came from."""
