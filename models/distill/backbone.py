"""A language model that is to answer text: that of an Ultravox checkpoint, or one alone as it is published."""

import torch

from models import weights
from models.checkpoint import Checkpoint, choose_dtype, fill, load, read_tokenizer, stop_ids
from models.config import AudioConfig, ProjectorConfig, TextConfig, UltravoxConfig
from models.hub import Towers, locate
from models.model import Model
from models.tokenizer import read_json
from models.ultravox import Ultravox

_DEAF = AudioConfig(width=8, layers=0, heads=1, feedforward=8)  # stands where a language model alone has no audio tower


def load_backbone(name: str, towers: Towers, device: str | torch.device, dtype: str | None = None) -> Model:
    """Load a folder or hub id. Raises CheckpointError."""
    folder = locate(name, towers)
    config = read_json(folder / "config.json")
    if config.get("model_type") == "ultravox":
        return load(folder, towers, device, dtype)
    text = TextConfig.parse(config)
    parsed = UltravoxConfig(_DEAF, ProjectorConfig(_DEAF.width, text.width, hidden=8), text)
    with torch.device("meta"):
        network = Ultravox(parsed)
    stored = weights.table(folder, weights.text_name)
    wanted = {name: weight for name, weight in network.named_parameters() if name.startswith("language_model.")}
    weights.check_shapes(stored, {}, wanted, str(folder))
    tensors = {name: stored[name] for name in wanted}
    checkpoint = Checkpoint(folder, parsed, network, tensors, {}, "a language model alone", text_folder=None)
    place = torch.device(device)
    chosen = choose_dtype(dtype, place)
    fill(checkpoint, place, chosen)
    for part in (network.audio_tower, network.multi_modal_projector):
        part.to_empty(device=place).to(chosen)
    tokenizer = read_tokenizer(checkpoint)
    return Model(network.eval(), tokenizer, stop_ids(checkpoint, tokenizer))
