from collections.abc import Iterator

import pytest
import torch

torch.set_num_threads(1)  # the shapes are tiny: more threads only wait for one another


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """Keep a command's own number of threads to its test: with another number, sums differ in their last digits."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
