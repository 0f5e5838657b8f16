"""A small voice in Piper's format, made with onnx: every phoneme id is a sine of its own pitch, 1024 samples long.

It has the inputs, outputs and configuration of a published voice, and says nothing that a person would understand.
"""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from piper.phoneme_ids import DEFAULT_PHONEME_ID_MAP

RATE = 22_050
HOP = 256
HOPS = 4
"""Hops of each id at length scale 1."""


def make_voice(path: Path, *, alignments: bool = True, symbols: int = 256) -> Path:
    """Write `path` and `path`.json; with `alignments` the model also tells the hops of each id. Ids from `symbols` on fail."""
    constants = {
        "hops": np.array(HOPS, np.float32),
        "hop": np.array(HOP, np.int64),
        "zero": np.array(0, np.int64),
        "one": np.array(1, np.int64),
        "frequencies": 2 * np.pi * (110 + 4 * np.arange(symbols, dtype=np.float32)) / RATE,  # radians a sample
        "volume": np.array(0.5, np.float32),
        "flat": np.array([-1], np.int64),
        "output_shape": np.array([1, 1, 1, -1], np.int64),
    }
    nodes = [
        helper.make_node("Reshape", ["input", "flat"], ["ids"]),
        helper.make_node("Size", ["ids"], ["count"]),
        helper.make_node("Gather", ["scales", "one"], ["length_scale"]),
        helper.make_node("Mul", ["hops", "length_scale"], ["scaled"]),
        helper.make_node("Shape", ["ids"], ["shape_of_ids"]),
        helper.make_node("Expand", ["scaled", "shape_of_ids"], ["scaled_of_ids"]),
        helper.make_node("Ceil", ["scaled_of_ids"], ["durations"]),
        helper.make_node("Gather", ["durations", "zero"], ["hops_per_id"]),
        helper.make_node("Cast", ["hops_per_id"], ["whole_hops_per_id"], to=TensorProto.INT64),
        helper.make_node("Mul", ["whole_hops_per_id", "hop"], ["samples_per_id"]),
        helper.make_node("Mul", ["samples_per_id", "count"], ["samples"]),
        helper.make_node("Range", ["zero", "samples", "one"], ["times"]),
        helper.make_node("Div", ["times", "samples_per_id"], ["index_of_sample"]),
        helper.make_node("Gather", ["ids", "index_of_sample"], ["id_of_sample"]),
        helper.make_node("Gather", ["frequencies", "id_of_sample"], ["frequency"]),
        helper.make_node("Cast", ["times"], ["float_times"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["frequency", "float_times"], ["phase"]),
        helper.make_node("Sin", ["phase"], ["sine"]),
        helper.make_node("Mul", ["sine", "volume"], ["flat_output"]),
        helper.make_node("Reshape", ["flat_output", "output_shape"], ["output"]),
    ]
    outputs = [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 1, 1, "samples"])]
    if alignments:
        outputs.append(helper.make_tensor_value_info("durations", TensorProto.FLOAT, ["ids"]))
    graph = helper.make_graph(
        nodes,
        "tones",
        [
            helper.make_tensor_value_info("input", TensorProto.INT64, [1, "ids"]),
            helper.make_tensor_value_info("input_lengths", TensorProto.INT64, [1]),
            helper.make_tensor_value_info("scales", TensorProto.FLOAT, [3]),
        ],
        outputs,
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    config = {
        "audio": {"sample_rate": RATE},
        "espeak": {"voice": "en-us"},
        "num_symbols": symbols,
        "num_speakers": 1,
        "hop_length": HOP,
        "inference": {"noise_scale": 0.667, "length_scale": 1, "noise_w": 0.8},
        "phoneme_id_map": DEFAULT_PHONEME_ID_MAP,
    }
    Path(f"{path}.json").write_text(json.dumps(config), encoding="utf-8")
    return path
