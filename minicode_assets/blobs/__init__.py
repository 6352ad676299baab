"""The bytes of contents: where they come from, and that they are what they should be."""
