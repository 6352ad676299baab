"""The model in other formats, each with its round-trip proof in the tests."""
