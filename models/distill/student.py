"""The network in training: what hears (student) and what reads (teacher) are the same language model, which stays as it is."""

import torch
from torch import Tensor, nn

from models.distill.examples import Batch
from models.distill.loss import Loss, broken, cross_entropy, divergence, predicting
from models.distill.settings import LoraSettings, LossSettings
from models.ultravox import Ultravox

PROJECTOR = "multi_modal_projector."


class Student(nn.Module):
    """A network of which only the projector and, with LoRA, additions to the audio tower are trained, in float32.

    Where the network is in bfloat16, everything else is computed in that (mixed precision).
    """

    def __init__(self, network: Ultravox, loss: LossSettings, lora: LoraSettings | None = None) -> None:
        super().__init__()
        self.network = network.requires_grad_(requires_grad=False)
        self.loss = loss
        self.mixed = network.multi_modal_projector.linear_1.weight.dtype == torch.bfloat16
        if lora:
            _adapt(network.audio_tower, lora)
        network.multi_modal_projector.float().requires_grad_()

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Give the `loss`, and which examples are `broken`: [batch] bool."""
        with torch.autocast(batch.mel.device.type, torch.bfloat16, enabled=self.mixed):
            told = self._compare(batch)
        return {"loss": told.total, "broken": broken(told.each, batch.heard_labels.sum(1))}

    def _compare(self, batch: Batch) -> Loss:
        language, shift = self.network.language_model, self.loss.positions
        rows = self.network.language_model.embed(batch.heard)
        rows = rows.masked_scatter(batch.fillers[..., None], self._hear(batch).to(rows.dtype))
        student = language.head(language(rows)[predicting(batch.heard_labels, shift)])
        if self.loss.kind == "cross_entropy":
            return cross_entropy(student, batch.labels)
        with torch.no_grad():
            hidden = language(language.embed(batch.read))
            teacher = language.head(hidden[predicting(batch.read_labels, shift)])
        counts = batch.heard_labels.sum(1)
        return divergence(student, teacher, counts, self.loss.temperature, self.loss.end_of_turn_weight)

    def _hear(self, batch: Batch) -> Tensor:
        """Give the rows of all clips one after another, [rows, text width]: the same as of each clip alone."""
        encoded = self.network.audio_tower(batch.mel, batch.frames)
        frames = torch.arange(encoded.shape[1], device=encoded.device)
        encoded = encoded * (frames < (batch.frames // 2)[:, None])[..., None]
        rows: Tensor = self.network.multi_modal_projector(encoded)
        count = batch.fillers.sum(1)[:, None]
        return rows[torch.arange(rows.shape[1], device=rows.device) < count]

    def trained(self) -> list[nn.Parameter]:
        """What is trained."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]


def _adapt(tower: nn.Module, lora: LoraSettings) -> None:
    """Put low-rank additions beside a tower's layers; they begin as nothing."""
    import peft

    config = peft.LoraConfig(r=lora.rank, lora_alpha=lora.alpha, target_modules=list(lora.targets))
    peft.inject_adapter_in_model(config, tower)
    for name, parameter in tower.named_parameters():
        parameter.requires_grad_("lora_" in name)
        if "lora_" in name:
            parameter.data = parameter.data.float()
