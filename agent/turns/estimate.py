"""A mean and a variance that follow what is observed. Pure."""

from dataclasses import dataclass

PRIOR = 3.0
"""Observations that weigh as much as what was assumed before them."""


@dataclass
class Estimate:
    """A running estimate, and how many observations it weighs."""

    mean: float
    variance: float
    memory: float
    """Weight of an observation relative to the next one."""
    weight: float = PRIOR

    def add(self, value: float) -> None:
        """Observe a value; older ones fade, though never below the weight that was assumed."""
        self.weight = max(PRIOR, self.memory * self.weight) + 1
        step = (value - self.mean) / self.weight
        self.variance += ((value - self.mean - step) * (value - self.mean) - self.variance) / self.weight
        self.mean += step
