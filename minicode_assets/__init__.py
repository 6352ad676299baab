"""Data curation (library) and its orchestration (defs/): from Software Heritage tables to an evaluated model."""
