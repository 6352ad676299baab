"""Changes of a document's text; each keeps the digest of the text that it was made of."""
