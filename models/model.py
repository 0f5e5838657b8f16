"""A loaded Ultravox: messages and audio in, text out.

Each window of audio (up to 30 s) is encoded by itself and without padding, so a result never depends on what else is
in the prompt or the batch. (The published code pads such windows, and lets the padding into the last audio token.)
"""

from collections.abc import Generator, Sequence
from typing import Any

import torch
from torch import Tensor

from models.cache import Cache
from models.features import log_mel
from models.inputs import InputError, Inputs, Messages, Plan, check_length, check_messages, plan, waveform
from models.tokenizer import Detokenizer, Tokenizer
from models.ultravox import Ultravox


class Model:
    """One network with its tokenizer. It holds nothing between calls, so they may come from any thread.

    Audio over 30 s is cut into windows; every window of every audio is encoded by itself and without padding, so its
    rows never depend on what else is in the prompt.
    """

    def __init__(self, network: Ultravox, tokenizer: Tokenizer, stop: frozenset[int]) -> None:
        self.config = network.config
        self.tokenizer = tokenizer
        self.stop = stop  # ids that end an answer
        self.dtype = network.audio_tower.conv1.weight.dtype
        self.device = network.audio_tower.conv1.weight.device
        self.window = network.config.text.max_positions  # of prompt and answer together
        self.parameters = sum(tensor.numel() for tensor in (*network.parameters(), *network.buffers()))
        self.audio_tower = network.audio_tower
        self.language_model = network.language_model
        self._network = network

    @torch.no_grad()
    def prepare(self, prompt: str, audios: Sequence[Any] = ()) -> Inputs:
        """Turn a prompt (text after the chat template, one <|audio|> per audio) and its audios into inputs.

        Audios are arrays at 16 kHz, one channel, float32 in ±1 or int16. The log-mel spectrogram is computed over a
        whole audio and then cut into windows of 30 s. Raises InputError, before computing anything, when an audio is
        not that, when placeholders and audios differ in number, or when the prompt is longer than the model's window.
        """
        waves = [waveform(audio) for audio in audios]
        planned = self.plan(prompt, [len(wave) for wave in waves])
        check_length(planned, self.window)
        mels = [log_mel(wave.to(self.device), self.config.audio.mels) for wave in waves]
        longest = self.config.audio.max_mel_frames
        return Inputs(
            input_ids=torch.tensor(planned.ids, dtype=torch.int64),
            mel=[window for mel in mels for window in torch.split(mel, longest, dim=-1)],
            audio_lens=[window.frames for window in planned.windows],
            audio_token_len=[window.count for window in planned.windows],
            audio_token_start_idx=[window.start for window in planned.windows],
        )

    def plan(self, prompt: str, lengths: Sequence[int] = ()) -> Plan:
        """Lay out a prompt and audios of so many samples, however long. Raises InputError when they do not match."""
        return plan(prompt, lengths, self.tokenizer.encode, self.tokenizer.eos, self.config)

    @torch.no_grad()
    def encode(self, mel: Tensor) -> Tensor:
        """Encode one window: [mels, frames] -> [ceil(frames / 2), audio width]."""
        encoded: Tensor = self.audio_tower(torch.as_tensor(mel).to(self.device, self.dtype)[None])
        return encoded[0]

    @torch.no_grad()
    def project(self, encoded: Tensor) -> Tensor:
        """Turn one encoded window into input rows: [frames, audio width] -> [ceil(frames / 8), text width]."""
        rows: Tensor = self._network.multi_modal_projector(torch.as_tensor(encoded).to(self.device, self.dtype)[None])
        return rows[0]

    @torch.no_grad()
    def logits(self, inputs: Inputs) -> Tensor:
        """Compute the logits of every position: [T, vocabulary] float32."""
        language_model = self._network.language_model
        logits: Tensor = language_model.head(language_model(self._rows(inputs)))
        return logits[0].float()

    def generate(
        self,
        messages: Messages,
        audios: Sequence[Any] = (),
        max_new_tokens: int = 256,
        temperature: float = 0.0,
        tools: Messages | None = None,
    ) -> Generator[str, None, None]:
        """Answer a chat: yield text deltas, greedy at temperature 0, else sampled.

        Messages are dicts with role and content, in which <|audio|> stands where each audio goes, in order. The answer
        ends at an end token, after `max_new_tokens`, or where the model's window is full. Closing the generator stops
        the work within one token. Raises InputError at once, before anything is computed.
        """
        if temperature < 0:
            raise InputError(f"temperature {temperature} is negative")
        return self._stream(self.prepare(self.prompt(messages, tools), audios), max_new_tokens, temperature)

    def prompt(self, messages: Messages, tools: Messages | None = None) -> str:
        """Write messages as the chat template wants them; raises InputError."""
        check_messages(messages)
        if self.tokenizer.template is None:
            raise InputError("the checkpoint has no chat template, so it takes prompts but not messages")
        return self.tokenizer.template.render(messages, tools)

    def _stream(self, inputs: Inputs, max_new_tokens: int, temperature: float) -> Generator[str, None, None]:
        length = inputs.input_ids.shape[0]
        limit = min(max_new_tokens, self.window - length + 1)  # the last token needs no position
        cache = Cache(self.config.text.layers, capacity=length + limit)
        text = Detokenizer(self.tokenizer)
        rows = self._rows(inputs)
        for _ in range(limit):
            token = _choose(self._step(rows, cache), temperature)
            if token in self.stop:
                break
            if delta := text.push(token):
                yield delta
            rows = self._network.language_model.embed(torch.tensor([[token]]))
        if rest := text.end():
            yield rest

    @torch.inference_mode()
    def _step(self, rows: Tensor, cache: Cache) -> Tensor:
        """Run rows [1, n, width] after what the cache holds; give the logits [vocabulary] of the last, float32."""
        language_model = self._network.language_model
        logits: Tensor = language_model.head(language_model(rows, cache)[0, -1])
        return logits.float()

    @torch.inference_mode()
    def _rows(self, inputs: Inputs) -> Tensor:
        """Embed the ids and write each window's projected rows over its fillers: [1, T, text width]."""
        rows = self._network.language_model.embed(inputs.input_ids[None])
        for mel, start, count in zip(inputs.mel, inputs.audio_token_start_idx, inputs.audio_token_len, strict=True):
            rows[0, start : start + count] = self.project(self.encode(mel))
        return rows


def _choose(logits: Tensor, temperature: float) -> int:
    """Pick the next id: the likeliest at temperature 0, else drawn from the softened distribution."""
    if temperature == 0:
        return int(logits.argmax())
    return int(torch.multinomial((logits / temperature).softmax(-1), 1))
