"""Everything becomes a document row."""
