import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when huggingface_hub is imported: no test may reach for the hub

from pathlib import Path

import numpy as np
import pytest

from models import Model, load
from tests.models import checkpoints


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
