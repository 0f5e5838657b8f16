from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.models import checkpoints
from tests.models.distill import corpus


@pytest.fixture(autouse=True)
def _one_accelerator_each() -> Iterator[None]:
    yield
    corpus.forget_accelerator()


@pytest.fixture(scope="session")
def towers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a Whisper and a language model of random weights."""
    folder = tmp_path_factory.mktemp("towers")
    checkpoints.write_towers(folder, checkpoints.parts())
    return folder


@pytest.fixture
def folder(tmp_path: Path, towers: Path) -> Path:
    """A folder with towers, clips and a manifest of them."""
    for name in ("whisper", "text"):
        (tmp_path / name).symlink_to(towers / name)
    corpus.write_manifest(tmp_path)
    return tmp_path
