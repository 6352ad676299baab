"""Software Heritage graph exports of every generation in one canonical form."""
