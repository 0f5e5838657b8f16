"""What the recipe's tests share: the tokenizer, a small pool of clips, and an adapter of random weights."""

import pytest
import torch

from models.demo.adapter import Hearing
from models.demo.encoder import Listener
from models.demo.pool import Sample, load_shard, make_shard
from models.demo.tokens import Chat, train_tokenizer
from models.demo.voices import TRAINED

CLIPS = 80


@pytest.fixture(scope="session")
def chat() -> Chat:
    return Chat(train_tokenizer())


@pytest.fixture(scope="session")
def pool(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    path = tmp_path_factory.mktemp("build") / "000.npz"
    make_shard(path, "test", TRAINED, CLIPS)
    return load_shard(path)


@pytest.fixture
def hearing() -> Hearing:
    torch.manual_seed(0)
    return Hearing(Listener(), 0.05).eval()
