# SPDX-License-Identifier: Apache-2.0
"""The same network in Keras 3, from the architecture and the weights that fer's Keras 2 file holds.

Keras 3 does not load such files itself: layer names, settings and the list of nodes have changed since Keras 2.0.5.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "torch"

import h5py  # type: ignore[import-untyped]
import keras  # type: ignore[import-untyped]

# The settings that change what a layer computes; those left out (initialisers, regularisers, …) only concern training.
_SETTINGS = {
    "Conv2D": ("filters", "kernel_size", "strides", "padding", "use_bias", "activation"),
    "SeparableConv2D": ("filters", "kernel_size", "strides", "padding", "use_bias", "activation", "depth_multiplier"),
    "BatchNormalization": ("axis", "epsilon", "center", "scale"),
    "Activation": ("activation",),
    "MaxPooling2D": ("pool_size", "strides", "padding"),
    "GlobalAveragePooling2D": (),
    "Add": (),
}


def keras_network(path: Path) -> Any:
    """A `keras.Model`: Nx64x64x1 to Nx7. Raises KeyError where the file has a layer or a weight not known here."""
    with h5py.File(path) as file:
        config = json.loads(file.attrs["model_config"])["config"]
        outputs: dict[str, Any] = {}
        for layer in config["layers"]:
            name, settings = layer["name"], layer["config"]
            if layer["class_name"] == "InputLayer":
                outputs[name] = keras.Input(settings["batch_input_shape"][1:], name=name)
                continue
            chosen = {key: settings[key] for key in _SETTINGS[layer["class_name"]]}
            made = getattr(keras.layers, layer["class_name"])(name=name, **chosen)
            (node,) = layer["inbound_nodes"]
            inputs = [outputs[source] for source, *_ in node]
            outputs[name] = made(inputs if len(inputs) > 1 else inputs[0])
            _load_weights(made, file["model_weights"][name])
    (first, *_), (last, *_) = config["input_layers"][0], config["output_layers"][0]
    return keras.Model(outputs[first], outputs[last])


def _load_weights(layer: Any, group: Any) -> None:
    names = [name.decode() for name in group.attrs["weight_names"]]
    stored = {name.rpartition("/")[2].removesuffix(":0"): group[name][()] for name in names}
    layer.set_weights([stored.pop(weight.name) for weight in layer.weights])
    if stored:
        raise KeyError(f"{layer.name}: the file also has {sorted(stored)}")
