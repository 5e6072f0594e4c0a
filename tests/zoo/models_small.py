# SPDX-License-Identifier: Apache-2.0
"""Small models, each with one thing that makes cutting hard."""

from typing import Dict, List, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from entry import Entry, noise

# --- in-place writes, views, aliases --------------------------------------------------------------


class WriteThroughView(nn.Module):
    """A slice is written in place, then the whole is read."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        a = y[:, :8]
        b = torch.sigmoid(a)
        a.add_(1.0)
        c = F.relu(y)
        return self.second(c) + b


class ViewOfView(nn.Module):
    """Chains of views, writes through the last of them and through index assignment."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(12, 24), nn.Linear(24, 6)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        grid = y.view(-1, 4, 6)
        turned = grid.transpose(1, 2)
        turned[:, 1:3].mul_(2.0)
        row = grid.select(1, 0)
        row.copy_(torch.tanh(row))
        left, right = y.chunk(2, dim=1)
        right.add_(left)
        y[:, 0] = 0.5
        late = y.unsqueeze(0).squeeze(0)
        F.relu_(late)
        return self.second(y) + turned.sum()


class ReturnedThenWritten(nn.Module):
    """An interior value is an output, and is written in place later on."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        y = self.first(x)
        half = y[:, ::2]
        z = self.second(F.relu(y))
        y.mul_(0.5).clamp_(min=-0.25)
        return y, half, z


class WritesInput(nn.Module):
    """The caller's tensor is written; a view of it is read afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        early = x.view(-1, 2, 4)
        y = self.first(x)
        x.add_(y)
        z = torch.tanh(early.sum(1))
        return z + x[:, :4]


class OutputAliases(nn.Module):
    """The same tensor twice, views of it, and the input itself among the outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        y = torch.relu(self.first(x))
        z = self.second(y)
        return y, y, y[:, 2:6], z.t(), x


class Strides(nn.Module):
    """Later layers depend on the strides of earlier ones: view, is_contiguous, expand."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        last = y.permute(0, 2, 3, 1)
        back = torch.relu(self.second(last)).permute(0, 3, 1, 2)
        wide = y.mean((2, 3), keepdim=True).expand_as(y)
        scaled = back * wide * (2.0 if back.is_contiguous() else 1.0)
        flat = last.permute(0, 3, 1, 2).view(y.size(0), -1)
        return scaled.flatten(1) + flat


class ChannelsLast(nn.Module):
    """Convolutions in the channels-last format."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.Conv2d(16, 16, 3, padding=1)
        self.norm, self.last = nn.BatchNorm2d(16), nn.Conv2d(16, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        y = F.relu(self.first(x), inplace=True)
        y = y + F.hardswish(self.norm(self.second(y)), inplace=True)
        return F.max_pool2d(self.last(y), 2)


# --- parameters and state -------------------------------------------------------------------------


class SharedParameters(nn.Module):
    """One convolution used three times, and an embedding whose weight is the output layer's too."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(32, 8)
        self.mix = nn.Conv1d(8, 8, 3, padding=1)
        self.twin = self.mix
        self.out = nn.Linear(8, 32, bias=False)
        self.out.weight = self.words.weight

    def forward(self, ids: Tensor) -> Tensor:
        x = self.words(ids).transpose(1, 2)
        x = torch.relu(self.mix(x))
        x = torch.relu(self.mix(x)) + x
        x = self.twin(x)
        return self.out(x.transpose(1, 2))


class Counter(nn.Module):
    """Counts its calls in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        self.calls.add_(1.0)
        return self.second(y) * self.calls


class AttributeState(nn.Module):
    """Keeps the last answer in an attribute."""

    last: Optional[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.last = None

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        last = self.last
        if last is not None:
            y = y + last
        self.last = y
        return self.second(y)


class RandomNoise(nn.Module):
    """Adds noise in eval mode."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        return self.second(y + 0.1 * torch.rand_like(y))


class AlwaysDropout(nn.Module):
    """Dropout that stays on in eval mode."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(F.dropout(self.first(x), 0.5, training=True))


class EvalDropout(nn.Module):
    """Dropout that eval mode switches off: an ordinary model."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.second(self.drop(torch.relu(self.first(x)))))


# --- control flow ---------------------------------------------------------------------------------


class IfWhile(nn.Module):
    """`if` and `while` on data, with an early return and a write inside the loop."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.first(x))
        if bool(y.sum() > 4.0):
            y = self.second(y)
        else:
            y = y - self.second(x)
        steps = 0
        while bool(y.norm() > 0.5) and steps < 6:
            y.mul_(0.7)
            if steps % 2 == 0:
                y = y + 0.01 * torch.tanh(self.second(y))
            steps += 1
        z = self.third(y) * float(steps)
        if steps == 0:
            return z
        return z.softmax(1)


class LoopAppend(nn.Module):
    """A list that grows in a loop and is concatenated, stacked and indexed later."""

    def __init__(self) -> None:
        super().__init__()
        self.step, self.out = nn.Linear(6, 6), nn.Linear(24, 5)

    def forward(self, x: Tensor) -> Tuple[Tensor, List[Tensor]]:
        kept: List[Tensor] = [x]
        y = x
        for i in range(3):
            y = torch.tanh(self.step(y)) + kept[-1]
            kept.append(y)
        first = kept.pop(0)
        kept.append(first)
        z = self.out(torch.cat(kept, dim=1))
        kept[0] = z
        return z + torch.stack(kept[1:]).mean(), kept


class Raises(nn.Module):
    """Checks its input and raises; otherwise an ordinary model."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        if x.size(1) != 8:
            raise ValueError("eight features are wanted, found {}".format(x.size(1)))
        y = self.first(x).relu()
        assert y.dim() == 2, "two dimensions are wanted"
        return self.second(y)


# --- values that are not one tensor ---------------------------------------------------------------


class Nested(nn.Module):
    """Dicts and tuples in and out, nested, with an int that travels through."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.join = nn.Linear(6, 8), nn.Linear(4, 8), nn.Linear(16, 5)

    def forward(
        self, named: Dict[str, Tensor], pair: Tuple[Tensor, Tuple[Tensor, int]]
    ) -> Tuple[Dict[str, Tensor], Tuple[Tensor, Tuple[Tensor, int]], List[Tensor]]:
        a = torch.relu(self.left(named["left"]))
        b = torch.relu(self.right(named["right"]))
        offset, (scale, times) = pair
        joined = self.join(torch.cat([a, b + offset], dim=1)) * scale
        out: Dict[str, Tensor] = {"joined": joined, "a": a}
        out["sum"] = joined.sum(1) * times
        return out, (b, (joined[:, :2], times + a.size(0))), [a, b]


class NestedTraced(nn.Module):
    """Dict and tuple in, tuple of tuples out, in a form that tracing accepts."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.join = nn.Linear(6, 8), nn.Linear(4, 8), nn.Linear(16, 5)

    def forward(self, named: Dict[str, Tensor], pair: Tuple[Tensor, Tensor]) -> Tuple[Tensor, Tuple[Tensor, Tensor]]:
        a = torch.relu(self.left(named["left"]))
        b = torch.relu(self.right(named["right"]))
        joined = self.join(torch.cat([a, b + pair[0]], dim=1)) * pair[1]
        return joined, (a, b.sum(1))


class PlainInputs(nn.Module):
    """A flag, a number, a size and a word among the inputs, an Optional across the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x: Tensor, negate: bool, gain: float, times: int, mode: str, bias: Optional[Tensor]) -> Tensor:
        y = self.first(x) * gain
        if negate:
            y = -y
        for _ in range(times):
            y = self.second(y)
        if mode == "relu":
            y = y.relu()
        elif mode == "tanh":
            y = y.tanh()
        if bias is not None:
            y = y + bias
        return y


class Dtypes(nn.Module):
    """int64, bool, half, bfloat16, double, complex, 0-d and empty tensors on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
        y = self.first(x)
        order = y.argsort(dim=1)
        positive = y > 0
        low, brief = y.to(torch.float16), y.to(torch.bfloat16)
        fine = y.to(torch.float64).cumsum(1)
        waves = torch.fft.rfft(y)
        top = y.max()
        nothing = y[:, :0]
        small = (y * 10).to(torch.uint8)
        z = torch.where(positive, low.to(torch.float32), brief.to(torch.float32)).gather(1, order)
        z = z + torch.fft.irfft(waves * 2.0, n=8) + top
        z = torch.cat([z, nothing], dim=1) + small.to(torch.float32)
        return z, fine, waves, nothing


class Sizes(nn.Module):
    """Sizes taken early are used late: ints across the cut."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        batch, height, width = x.shape[0], x.shape[2], x.shape[3]
        y = F.gelu(self.first(x)).flatten(2).transpose(1, 2)
        y = self.second(y) / (height * width) ** 0.5
        return y.transpose(1, 2).reshape(batch, -1, height, width)


class NanInf(nn.Module):
    """NaN, both infinities, negative zero and a denormal pass through the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tuple[Tensor, Tensor]:
        y = self.first(x)
        odd = torch.cat([y / 0.0, (y - y) / 0.0, y * -0.0, y * 1e-42], dim=1)
        z = self.second(torch.nan_to_num(odd, nan=1.0, posinf=2.0, neginf=-2.0)[:, 2:6])
        return odd * 1.0, z


# --- architectures --------------------------------------------------------------------------------


class Lstm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 16)
        self.lstm = nn.LSTM(16, 24, num_layers=2, batch_first=True, bidirectional=True)
        self.out = nn.Linear(48, 10)

    def forward(self, ids: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        y, (hidden, cell) = self.lstm(self.words(ids))
        return self.out(torch.relu(y)), hidden, cell


class LstmState(nn.Module):
    """A step of a recurrent network whose state comes in and goes out."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.gru, self.out = nn.LSTM(8, 16), nn.GRU(16, 12), nn.Linear(12, 3)

    def forward(
        self, x: Tensor, state: Tuple[Tensor, Tensor], memory: Tensor
    ) -> Tuple[Tensor, Tuple[Tensor, Tensor], Tensor]:
        y, state = self.lstm(x, state)
        y, memory = self.gru(y, memory)
        return self.out(y), state, memory


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(32))
        self.out = nn.Linear(32, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.encoder(x))


class Attention(nn.Module):
    """Attention by hand and by the fused operator, with a causal mask made on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(32, 96), nn.Linear(32, 32)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        mask = torch.ones(x.size(1), x.size(1), dtype=torch.bool, device=x.device).tril()
        scores = (q @ k.transpose(1, 2)).masked_fill_(mask.logical_not(), float("-inf"))
        y = scores.softmax(-1) @ v
        return self.out(y + F.scaled_dot_product_attention(q, k, v, is_causal=True))


class Block(nn.Module):
    def __init__(self, channels_in: int, channels_out: int):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(channels_in, channels_out, 3, padding=1), nn.BatchNorm2d(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu_(self.norm(self.conv(x)))


class UNet(nn.Module):
    """Four levels; every skip is as long as the net below it."""

    def __init__(self, width: int = 12, levels: int = 4):
        super().__init__()
        sizes = [width * 2**i for i in range(levels)]
        self.down = nn.ModuleList(Block(a, b) for a, b in zip([3, *sizes], sizes))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * s, s, 2, stride=2) for s in reversed(sizes[:-1]))
        self.join = nn.ModuleList(Block(2 * s, s) for s in reversed(sizes[:-1]))
        self.out = nn.Conv2d(width, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips: List[Tensor] = []
        for i, block in enumerate(self.down):
            x = block(x if i == 0 else F.max_pool2d(x, 2))
            skips.append(x)
        skips.pop()
        for up, join in zip(self.up, self.join):
            x = join(torch.cat([up(x), skips.pop()], 1))
        return self.out(x)


class TwoTowers(nn.Module):
    """Two inputs, two independent branches, two outputs: cuts that are no prefix of the order."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 8))
        self.right = nn.Sequential(nn.Conv1d(3, 8, 3), nn.GELU(), nn.Conv1d(8, 8, 3), nn.AdaptiveAvgPool1d(1))
        self.join = nn.Bilinear(8, 8, 4)

    def forward(self, a: Tensor, b: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        left = self.left(a)
        right = self.right(b).flatten(1)
        return self.join(left, right), left, right


def made(kind: type[nn.Module]):
    def build() -> nn.Module:
        torch.manual_seed(11)
        model = kind()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.5, 1.5)
        return model.eval()

    return build


def one(name: str, kind: type[nn.Module], small: tuple, full: tuple, other: tuple, scale: float = 1.0, **fields) -> Entry:
    """An entry with one float input; the shapes at the three sizes."""
    shapes = {"small": small, "full": full, "other": other}
    inputs = {size: (lambda shape=shape: (noise(*shape, scale=scale),)) for size, shape in shapes.items()}
    return Entry(name=name, build=made(kind), **inputs, **fields)


def ids(batch: int, length: int, words: int) -> Tensor:
    return torch.randint(words, (batch, length), generator=torch.Generator().manual_seed(3))


def nested_inputs(batch: int):
    named = {"left": noise(batch, 6, seed=1), "right": noise(batch, 4, seed=2)}
    return lambda: (named, (noise(batch, 8, seed=3), (noise(batch, 1, seed=4), 3)))


def nested_traced_inputs(batch: int):
    named = {"left": noise(batch, 6, seed=1), "right": noise(batch, 4, seed=2)}
    return lambda: (named, (noise(batch, 8, seed=3), noise(batch, 1, seed=4)))


def state_inputs(steps: int, batch: int):
    state = (noise(1, batch, 16, seed=2), noise(1, batch, 16, seed=3))
    return lambda: (noise(steps, batch, 8, seed=1), state, noise(1, batch, 12, seed=4))


def plain_inputs(batch: int, *rest):
    return lambda: (noise(batch, 6), *rest)


OPTIONAL_LAST = {5: Optional[Tensor]}
CONTROL = "trace: would keep only the branch that the example took"
REFUSED = {"expect": "refused", "part": True}

ENTRIES = [
    one("write_through_view", WriteThroughView, (1, 3, 4, 4), (1, 3, 64, 64), (3, 3, 48, 32), part=True),
    one("view_of_view", ViewOfView, (1, 12), (16, 12), (5, 12), part=True),
    one("returned_then_written", ReturnedThenWritten, (1, 3, 4, 4), (1, 3, 64, 64), (2, 3, 40, 24), part=True),
    one("writes_input", WritesInput, (1, 8), (16, 8), (3, 8), part=True, note="the caller's input is written"),
    one("output_aliases", OutputAliases, (1, 8), (16, 8), (3, 8), part=True),
    one("strides", Strides, (1, 3, 4, 4), (2, 3, 32, 32), (3, 3, 16, 8), part=True),
    one("channels_last", ChannelsLast, (1, 3, 4, 4), (1, 3, 64, 64), (3, 3, 48, 32), part=True),
    Entry(
        "shared_parameters", made(SharedParameters), part=True,
        small=lambda: (ids(1, 1, 32),), full=lambda: (ids(2, 20, 32),), other=lambda: (ids(3, 7, 32),),
    ),
    one("counter", Counter, (1, 4), (2, 4), (3, 4), note="writes a buffer", **REFUSED),
    one("attribute_state", AttributeState, (1, 4), (1, 4), (1, 4), trace=False,
        why="trace: would drop the attribute", note="writes an attribute", **REFUSED),
    one("random_noise", RandomNoise, (1, 8), (4, 8), (3, 8), note="draws random numbers", **REFUSED),
    one("always_dropout", AlwaysDropout, (1, 8), (4, 8), (3, 8), note="draws random numbers", **REFUSED),
    one("eval_dropout", EvalDropout, (1, 8), (4, 8), (3, 8), part=True),
    one("if_while", IfWhile, (1, 8), (16, 8), (3, 8), trace=False, why=CONTROL, part=True),
    one("loop_append", LoopAppend, (1, 6), (16, 6), (3, 6), part=True),
    one("raises", Raises, (1, 8), (16, 8), (3, 7), trace=False, why=CONTROL, part=True, note="`other` must fail"),
    Entry("nested", made(Nested), nested_inputs(1), nested_inputs(16), nested_inputs(3), trace=False,
          why="trace: takes no ints, and no dicts of outputs", part=True),
    Entry("nested_tensors", made(NestedTraced), nested_traced_inputs(1), nested_traced_inputs(16),
          nested_traced_inputs(3), part=True),
    Entry("plain_inputs", made(PlainInputs), types=OPTIONAL_LAST, part=True, trace=False,
          why="trace: takes tensors only",
          small=plain_inputs(1, True, 0.5, 2, "tanh", None),
          full=plain_inputs(16, False, 2.0, 3, "relu", noise(6, seed=9)),
          other=plain_inputs(3, True, 1.5, 0, "none", noise(1, seed=9))),
    one("dtypes", Dtypes, (1, 8), (16, 8), (3, 8), part=True),
    one("sizes", Sizes, (1, 3, 2, 2), (2, 3, 32, 32), (3, 3, 8, 16), part=True),
    one("nan_inf", NanInf, (1, 4), (16, 4), (3, 4), part=True),
    Entry("lstm", made(Lstm), part=True,
          small=lambda: (ids(1, 1, 50),), full=lambda: (ids(2, 40, 50),), other=lambda: (ids(3, 7, 50),)),
    Entry("lstm_state", made(LstmState), state_inputs(1, 1), state_inputs(20, 2), state_inputs(5, 3), part=True),
    one("transformer_encoder", Encoder, (1, 1, 32), (2, 40, 32), (3, 7, 32), part=True),
    one("attention", Attention, (1, 1, 32), (2, 40, 32), (3, 7, 32), part=True),
    one("unet", UNet, (1, 3, 8, 8), (1, 3, 128, 128), (2, 3, 64, 32), part=True),
    Entry("two_towers", made(TwoTowers), part=True,
          small=lambda: (noise(1, 8), noise(1, 3, 5, seed=1)), full=lambda: (noise(16, 8), noise(16, 3, 50, seed=1)),
          other=lambda: (noise(3, 8), noise(3, 3, 9, seed=1))),
]  # fmt: skip
