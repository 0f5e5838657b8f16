"""Whole calls on a virtual clock: callers who follow a script, what they heard, and what was expected; and `parley simulate`."""
