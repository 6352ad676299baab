"""From tables to rows: heads, the frontier walk, one row per (origin, revision, path)."""
