"""Numbers: tensors in, tensors out. The Ultravox engine without anything of real time."""

from models.checkpoint import load
from models.config import CheckpointError
from models.inputs import InputError
from models.model import Model

__all__ = ["CheckpointError", "InputError", "Model", "load"]
