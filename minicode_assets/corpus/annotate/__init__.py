"""Annotators: one module, one sidecar with the documents' rows, in order."""
