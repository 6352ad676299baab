"""From documents to a corpus, with a reason for every row."""
