# SPDX-License-Identifier: Apache-2.0
"""What the public headers have is in the package, with a docstring, or it is said why not."""

from __future__ import annotations

import enum
import importlib.util
import inspect
import re
from pathlib import Path

import pytest

import splitnet
from splitnet import _core

ROOT = Path(__file__).resolve().parents[3]
HEADERS = ROOT / "include" / "splitnet"

# Classes and functions of the headers that have no counterpart of the same name, and why.
ELSEWHERE = {
    # torch's tensors and Python's own values stand for these.
    "DType", "Dict", "List", "None", "Storage", "Tensor", "Tuple", "Uninitialized", "Value", "ValueTraits",
    "ResultShape", "ResultSlot", "bit_identical", "contiguous_strides", "describe", "for_each_tensor", "is_dtype",
    "kind_name", "packed_bytes", "size_bytes", "dtype_from_torch", "dtype_to_torch", "to_ivalue", "to_tensor",
    "to_torch", "to_value",
    # Transports, codecs and models of one's own are written in C++.
    "CallContext", "Listener", "Transport", "call_and_wait", "make_http_transport", "make_https_transport",
    "make_inproc_transport", "make_shaped_transport", "make_shm_transport", "make_tcp_transport",
    "make_tls_transport", "make_unix_transport", "HttpOptions", "ShmOptions", "SocketOptions", "EncodedSize",
    "DifferentiablePass", "StageCache", "EncodedMessage", "Message", "MessageHeader", "MessageKind", "NextHop",
    "Operation", "StageRequest", "decode", "encode", "encoded_size_bytes", "decode_header", "ClockOffset",
    "RoundTrip", "TraceParent", "parse_traceparent", "is_tracestate", "StatusPages", "StatusOptions",
    # In every registry; whom they ask, and as whom, stands in the environment.
    "AwsCredentials", "AwsOptions", "LambdaOptions", "LambdaRuntimeOptions", "ObjectStore", "add_aws_transports",
    "default_aws_credentials", "fixed_aws_credentials", "make_lambda_runtime_transport", "make_lambda_transport",
    "make_sqs_transport", "report_lambda_init_error", "SqsOptions",
    # Methods of the class that they are about, or another word of Python's.
    "calibration_from_json", "device_profile_from_json", "link_profile_from_json", "sweep_from_json",
    "load_calibration", "load_device_profile", "read_link_trace", "save", "to_json", "to_text", "to_string",
    "to_prometheus", "example_boundary", "run_stages", "run_sweep", "profiles_of", "parse_shaped_options",
    "is_error_code", "RunOptions", "FixedPolicy", "PartitionerOptions", "ProfiledModel", "adaptive_policy",
    "LogField", "check_token", "is_same_token",
}  # fmt: skip


# Commented members of bound classes that are not attributes of the class, and why.
MEMBERS_ELSEWHERE = {
    # The constructor, or a keyword of another class's.
    "CodecRegistry::with_defaults", "EncodedPicture::of", "StatusServer::start", "TransportRegistry::with_defaults",
    "Worker::create", "SessionOptions::policy", "SweepOptions::stop",
    # Classes of their own, or `stages`.
    "LinkEstimator::Doubt", "LinkEstimator::Transfer", "SequentialPlanner::Choice", "SequentialPlanner::Conditions",
    "Model::split",
    # Transports, codecs and models of one's own are written in C++.
    "Codec::decode", "Codec::encode", "CodecRegistry::Factory", "CodecRegistry::add", "Connection::allocate",
    "Connection::call", "Stage::differentiate", "TransportRegistry::add", "TransportRegistry::transports",
    # Values are read-only.
    "Histogram::of_bytes", "Histogram::of_seconds",
    # `splitnet worker --cut`.
    "Worker::keep_stage",
    # `await` in a loop, where `submit` does not wait.
    "Session::try_submit",
    # Not public, or no declaration.
    "EncodedPicture::in", "LinkEstimator::is_surprised_", "SequentialPlanner::Computing",
}  # fmt: skip


def members_of_headers() -> set[str]:
    """Commented members of classes, as `Class::member`."""
    found = importlib.util.spec_from_file_location("make_docs", ROOT / "bindings" / "python" / "src" / "make_docs.py")
    assert found is not None
    assert found.loader is not None
    make_docs = importlib.util.module_from_spec(found)
    found.loader.exec_module(make_docs)
    docs: dict[str, str] = make_docs.docs_of(HEADERS)
    return {name for name in docs if name.count("::") == 1}


def test_every_member_of_a_class_is_there() -> None:
    missing = set()
    for name in members_of_headers():
        class_name, member = name.split("::")
        there = getattr(_core, class_name, None)
        if there is not None and member != class_name and not {member, f"{member}_s"} & set(dir(there)):
            missing.add(name)
    assert missing == MEMBERS_ELSEWHERE


def names_of_headers() -> set[str]:
    """What the docstrings are made from: classes and functions outside of classes."""
    found: set[str] = set()
    for header in HEADERS.rglob("*.hpp"):
        if "testing" not in header.parts:
            text = header.read_text()
            found.update(re.findall(r"^(?:struct|class|enum class) (\w+)[^;\n]*\{", text, re.MULTILINE))
            found.update(
                re.findall(r"^(?!\s|using|template|return|#)[\w:<>,&* \[\]]+[ &*](\w+)\([^\n]*", text, re.MULTILINE)
            )
    return found


def test_everything_of_the_headers_is_there() -> None:
    names = names_of_headers()
    assert len(names) > 150, "the headers were read"
    missing = {name for name in names if not hasattr(splitnet, name) and name not in ELSEWHERE}
    assert not missing, f"not in the package, and not said why: {sorted(missing)}"


def test_what_is_said_to_be_elsewhere_is_in_the_headers_and_not_here() -> None:
    assert not {name for name in ELSEWHERE if hasattr(splitnet, name)}
    assert names_of_headers() >= ELSEWHERE


def public_members(owner: object) -> list[tuple[str, object]]:
    return [(name, member) for name, member in vars(owner).items() if not name.startswith("_")]


@pytest.mark.parametrize("name", [name for name in dir(splitnet) if not name.startswith("_")])
def test_has_a_docstring(name: str) -> None:
    thing = getattr(splitnet, name)
    if not (inspect.isclass(thing) or callable(thing)) or name in ("CutLike", "PolicyFactory"):
        return
    assert (thing.__doc__ or "").strip(), name
    if inspect.isclass(thing) and not issubclass(thing, (enum.Enum, BaseException)):
        for member_name, member in public_members(thing):
            if callable(member) and member_name not in ("close", "validate"):
                assert (member.__doc__ or "").strip(), f"{name}.{member_name}"


def test_docstrings_speak_of_exceptions() -> None:
    things = [getattr(_core, name) for name in dir(_core)]
    members = [member for thing in things if inspect.isclass(thing) for _, member in public_members(thing)]
    text = " ".join(str(thing.__doc__) for thing in [*things, *members])
    assert "Raises" in text
    assert not re.findall(r".*(?:Throws|\w::\w|std::|\w->\w).*", text)


def test_the_version_is_that_of_the_library() -> None:
    cmake = (ROOT / "CMakeLists.txt").read_text()
    found = re.search(r"project\(splitnet VERSION ([0-9.]+)", cmake)
    assert found is not None
    assert splitnet.__version__ == found[1]


def test_another_torch_is_named_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from splitnet import _torch_version

    monkeypatch.setattr(torch, "__version__", "9.9.9+cpu")
    with pytest.raises(ImportError, match=r"was built for torch 2\.13\.0, and found torch 9\.9\.9"):
        _torch_version.check()


def test_the_package_has_no_library_of_torch() -> None:
    found = importlib.util.find_spec("splitnet")
    assert found is not None
    assert found.submodule_search_locations is not None
    folder = Path(found.submodule_search_locations[0])
    assert not [path.name for path in folder.rglob("*") if re.match(r"lib(torch|c10|gomp)", path.name)]
