"""The network in training: what hears (student) and what reads (teacher) are the same language model, which stays as it is."""

import torch
from torch import Tensor, nn

from models.distill.examples import Batch
from models.distill.loss import Loss, broken, cross_entropy, divergence, predicting, turns
from models.distill.settings import LoraSettings, LossSettings
from models.ultravox import Ultravox

PROJECTOR = "multi_modal_projector."


class Student(nn.Module):
    """A network of which the projector is trained, in float32, and of its audio tower nothing, LoRA's additions, or all.

    Where the network is in bfloat16, everything else is computed in that (mixed precision).
    """

    def __init__(
        self, network: Ultravox, loss: LossSettings, lora: LoraSettings | None = None, train_audio: bool = False
    ) -> None:
        super().__init__()
        self.network = network.requires_grad_(requires_grad=False)
        self.loss = loss
        self.mixed = network.multi_modal_projector.linear_1.weight.dtype == torch.bfloat16
        if lora:
            _adapt(network.audio_tower, lora)
        if train_audio:
            network.audio_tower.float().requires_grad_()
            network.audio_tower.embed_positions.requires_grad_(requires_grad=False)  # as in Whisper, they are sines
        network.multi_modal_projector.float().requires_grad_()

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Give the `loss`, and which examples are `broken`: [batch] bool."""
        with torch.autocast(batch.mel.device.type, torch.bfloat16, enabled=self.mixed):
            language = self.network.language_model
            rows = language.embed(batch.heard)
            hidden = language(rows.masked_scatter(batch.fillers[..., None], self._hear(batch).to(rows.dtype)))
            told = self._compare(hidden, batch)
            total = told.total
            if self.loss.turn_weight:
                total = total + self.loss.turn_weight * turns(language.head(hidden[batch.turns]), batch.over, batch.end)
        return {"loss": total, "broken": broken(told.each, batch.heard_labels.sum(1))}

    def _compare(self, hidden: Tensor, batch: Batch) -> Loss:
        language, shift = self.network.language_model, self.loss.positions
        student = language.head(hidden[predicting(batch.heard_labels, shift)])
        if self.loss.kind == "cross_entropy":
            return cross_entropy(student, batch.labels)
        with torch.no_grad():
            known = language(language.embed(batch.read))
            teacher = language.head(known[predicting(batch.read_labels, shift)])
        counts = batch.heard_labels.sum(1)
        return divergence(student, teacher, counts, self.loss.temperature, self.loss.end_of_turn_weight)

    def _hear(self, batch: Batch) -> Tensor:
        """Give the rows of all sounds one after another, [rows, text width]: the same as of each sound alone."""
        given = dict[int, Tensor]()
        for group in batch.alike:
            frames = batch.frames[group]
            encoded = self.network.audio_tower(batch.mel[group, :, : int(frames.max())], frames)
            inside = torch.arange(encoded.shape[1], device=encoded.device) < (frames // 2)[:, None]
            rows = self.network.multi_modal_projector(encoded * inside[..., None])
            counts = batch.rows[group].tolist()
            given |= {index: of_sound[:count] for index, of_sound, count in zip(group, rows, counts, strict=True)}
        return torch.cat([given[index] for index in range(len(given))])

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
