"""What the agent does: one reply, from the engine's first token to the last word heard."""
