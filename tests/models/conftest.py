import os
from collections.abc import Iterator

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when huggingface_hub is imported: no test may reach for the hub

from pathlib import Path

import numpy as np
import pytest
import torch

from models import Model, load
from tests.models import checkpoints

torch.set_num_threads(1)  # the shapes are tiny: more threads only wait for one another


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """Keep a command's own number of threads to its test: with another number, sums differ in their last digits."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with everything inside."""
    return checkpoints.write(tmp_path_factory.mktemp("whole"), "whole")[0]


@pytest.fixture(scope="session")
def model(whole: Path) -> Model:
    return load(whole, dtype="float32")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)
