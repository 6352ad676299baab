"""Local git repositories and installed distributions become Software Heritage tables and contents."""
