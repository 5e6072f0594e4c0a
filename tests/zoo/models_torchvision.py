# SPDX-License-Identifier: Apache-2.0
"""torchvision's classification families with random weights."""

import functools

import torch

from entry import Entry, picture_inputs, pictures
from packages import torchvision_models


def liven(model: torch.nn.Module, side: int) -> torch.nn.Module:
    """Random weights as a trained network might have them.

    Fresh networks hold zero biases, zero classifier weights and batch-norm statistics of 0 and 1,
    which hide mistakes: activations end up constant, vanish, or explode with the depth.
    """
    for name, parameter in model.named_parameters():
        with torch.no_grad():
            if name.endswith("layer_scale"):
                parameter.uniform_(0.1, 0.5)
            elif name.endswith("bias"):
                parameter.normal_(0, 0.1)
            elif parameter.dim() == 1:
                parameter.uniform_(0.8, 1.2)
            elif not parameter.any():
                parameter.normal_(0, 0.05)
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    model.eval()
    if norms:
        for norm in norms:
            norm.momentum = None  # the plain average of what comes
            norm.train()
        with torch.no_grad():
            model(pictures(8, side, seed=100))
        for norm in norms:
            variance = norm.running_var.mul_(torch.empty_like(norm.running_var).uniform_(0.8, 1.2))
            # A channel that hardly varied here would be blown up on other pictures.
            variance.clamp_(min=float(variance.mean()) * 0.2)
            norm.momentum = 0.1
    return model.eval()


def build(architecture: str, side: int, **options) -> torch.nn.Module:
    torch.manual_seed(7)
    return liven(getattr(torchvision_models(), architecture)(weights=None, **options), side)


def build_maxvit(side: int, window: int) -> torch.nn.Module:
    """maxvit_t, whose picture size and attention window are fixed when it is built."""
    torch.manual_seed(7)
    maxvit = torchvision_models().maxvit
    model = maxvit.MaxVit(
        input_size=(side, side), stem_channels=64, partition_size=window, block_channels=[64, 128, 256, 512],
        block_layers=[2, 2, 5, 2], head_dim=32, stochastic_depth_prob=0.2,
    )  # fmt: skip
    return liven(model, side)


def plain(architecture: str, small: int = 32, full: int = 224, other=(2, 160), side: int = 128, **fields) -> Entry:
    options = fields.pop("options", {})
    return Entry(
        name=architecture,
        build=functools.partial(build, architecture, side, **options),
        **picture_inputs(small, full, other),
        **fields,
    )


ENTRIES = [
    plain("alexnet", small=63),
    plain("convnext_tiny"),
    plain("densenet121"),
    plain("efficientnet_b0"),
    plain("efficientnet_v2_s", full=384),
    plain("googlenet", options={"init_weights": True, "aux_logits": False}),
    plain("inception_v3", small=75, full=299, side=299, options={"init_weights": True, "aux_logits": False}),
    Entry(
        name="maxvit_t",
        build=functools.partial(build_maxvit, 224, 7),
        build_small=functools.partial(build_maxvit, 64, 2),
        **picture_inputs(64, 224, (2, 224)),
        note="the picture size is fixed in the weights; the small form is built for 64x64, window 2",
    ),
    plain("mnasnet1_0"),
    plain("mobilenet_v2"),
    plain("mobilenet_v3_large"),
    plain("mobilenet_v3_small"),
    plain("regnet_y_400mf"),
    plain("resnet18"),
    plain("resnet50"),
    plain("resnext50_32x4d"),
    plain("shufflenet_v2_x1_0", part=True),
    plain("squeezenet1_1"),
    plain("swin_t"),
    plain("swin_v2_t", full=256),
    plain("vgg11"),
    Entry(
        name="vit_b_16",
        build=functools.partial(build, "vit_b_16", 224),
        build_small=functools.partial(build, "vit_b_16", 32, image_size=32),
        **picture_inputs(32, 224, (2, 224)),
        note="the picture size is fixed in the weights; the small form is built for 32x32",
    ),
    plain("wide_resnet50_2"),
]
