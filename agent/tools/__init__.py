"""Functions that the model may call, and how its calls are recognised."""
