"""What the caller does: when a turn begins, pauses and ends, and what is only an echo."""
