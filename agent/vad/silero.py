"""Silero VAD v6: the ONNX file from the silero-vad wheel, run by onnxruntime on the calling thread, 0.07 ms a window.

The package itself is never imported: it imports torch and sets torch's threads to one.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime

from agent.audio import INPUT_RATE, Samples

_CONTEXT = 64
"""Samples of the window before that the model wants in front of each window (4 ms)."""


def open_session() -> onnxruntime.InferenceSession:
    """Load the model for all calls: it keeps no state of its own. Raises FileNotFoundError if the wheel is not installed.

    Inputs `input` float32 [batch, 64 + 512], `state` float32 [2, batch, 128], `sr` int64 []; outputs [batch, 1] and the state.
    """
    package = find_spec("silero_vad")  # finds a top-level package without executing it
    if package is None or not package.submodule_search_locations:
        raise FileNotFoundError("the silero-vad package, which holds the model, is not installed")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    path = Path(package.submodule_search_locations[0]) / "data" / "silero_vad_16k_op15.onnx"
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class SileroVAD:
    """One stream: the recurrent state and the end of the last window."""

    window = 512

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._input = np.zeros((1, _CONTEXT + self.window), np.float32)
        self._state = np.zeros((2, 1, 128), np.float32)
        self._rate = np.array(INPUT_RATE, np.int64)

    def __call__(self, window: Samples) -> float:
        """Probability that [512] int16 samples hold speech."""
        self._input[0, :_CONTEXT] = self._input[0, -_CONTEXT:]
        self._input[0, _CONTEXT:] = window / np.float32(32768)
        probability, self._state = self._session.run(
            None, {"input": self._input, "state": self._state, "sr": self._rate}
        )
        return float(probability[0, 0])
