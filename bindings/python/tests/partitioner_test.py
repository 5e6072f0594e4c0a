# SPDX-License-Identifier: Apache-2.0
"""Models from files, ScriptModules and nn.Modules, and their cuts."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch

import splitnet
from conftest import SmallNet


def test_head_and_tail_give_what_the_whole_gives(part: splitnet.Partitioner, photo: torch.Tensor) -> None:
    head, tail = part.split(after="first")
    (whole,) = part.split()[0].run([photo])
    assert torch.equal(tail.run(head.run([photo]))[0], whole)


def test_a_cut_may_be_a_name_a_number_or_a_list(part: splitnet.Partitioner) -> None:
    by_name = part.split(after="first")[0].info
    index = next(i for i, layer in enumerate(part.layers.layers) if layer.name == "first")
    assert part.split(after=index)[0].info == by_name
    assert part.split(after=list(range(index + 1)))[0].info == by_name
    assert part.split(after=splitnet.Cut.after("first"))[0].info == by_name


def test_several_cuts_give_as_many_stages_and_one_more(part: splitnet.Partitioner, photo: torch.Tensor) -> None:
    stages = part.split(cuts=["first", "second"])
    values = [photo]
    for stage in stages:
        values = stage.run(values)
    assert len(stages) == 3
    assert torch.equal(values[0], part.split()[0].run([photo])[0])


def test_a_stage_is_saved_and_loaded(part: splitnet.Partitioner, photo: torch.Tensor, tmp_path: Path) -> None:
    head, tail = part.split(after="first")
    tail.save(str(tmp_path / "tail.stage"))
    loaded = splitnet.load_stage(str(tmp_path / "tail.stage"))
    boundary = head.run([photo])
    assert torch.equal(loaded.run(boundary)[0], tail.run(boundary)[0])


def test_an_unknown_layer_is_answered_with_near_names(part: splitnet.Partitioner) -> None:
    with pytest.raises(splitnet.InvalidArgument, match="'first'"):
        part.split(after="frist")


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "notes.pt"
    path.write_text("not a model")
    with pytest.raises(splitnet.Corrupt, match="notes.pt"):
        splitnet.Partitioner(path)
    with pytest.raises(splitnet.InvalidArgument, match="nothing.pt"):
        splitnet.Partitioner(tmp_path / "nothing.pt")


def test_inputs_that_do_not_fit(model_file: Path) -> None:
    with pytest.raises(splitnet.InvalidArgument, match="2, 7"):
        splitnet.Partitioner(model_file, [torch.rand(2, 7)])


def test_a_module_is_traced_and_that_is_said(photo: torch.Tensor) -> None:
    module = SmallNet().train()
    module.second.eval()
    with pytest.warns(splitnet.Notice, match="SmallNet was traced"):
        traced = splitnet.Partitioner(module, photo)
    assert module.training and module.first.training and not module.second.training, "the user's module stays as it was"
    assert traced.name == "SmallNet"
    torch.testing.assert_close(traced.split()[0].run([photo])[0], module.eval()(photo))


class Branches(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if bool(x.sum() > 0):
            return x.relu()
        return x.neg()


def test_a_module_that_a_trace_would_not_follow_is_scripted() -> None:
    with pytest.warns(splitnet.Notice, match="Branches was scripted"):
        scripted = splitnet.Partitioner(Branches(), torch.ones(3))
    assert torch.equal(scripted.split()[0].run([-torch.ones(3)])[0], torch.ones(3))


class Neither(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> set[torch.Tensor]:
        return {x}


def test_a_module_that_is_neither_says_what_both_compilers_say() -> None:
    with pytest.raises(splitnet.UnsupportedModel, match="neither be traced .* nor scripted"):
        splitnet.Partitioner(Neither(), torch.ones(3))


class Broken(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise ZeroDivisionError("my own bug")


def test_what_the_module_raises_is_passed_on(photo: torch.Tensor) -> None:
    with pytest.raises(splitnet.InvalidArgument, match="ZeroDivisionError: my own bug") as raised:
        splitnet.Partitioner(Broken(), photo)
    assert isinstance(raised.value.__cause__, ZeroDivisionError)


def test_a_module_whose_forward_is_overloaded_is_traced() -> None:
    module, x = torch.nn.LSTM(4, 4, batch_first=True).eval(), torch.rand(1, 3, 4)
    with pytest.warns(splitnet.Notice, match="LSTM was traced"):
        part = splitnet.Partitioner(module, x)
    torch.testing.assert_close(splitnet.Session(part)(x)[0], module(x)[0])


def test_without_example_inputs_a_module_is_scripted() -> None:
    with pytest.warns(splitnet.Notice, match="no example inputs"):
        assert splitnet.Partitioner(Branches()).name == "Branches"


def test_the_table_of_layers(part: splitnet.Partitioner) -> None:
    text = repr(part)
    assert text.startswith("small: ")
    assert "boundary behind it" in text and "first" in text and "f32[1, 8, 16, 16]" in text
    html = part._repr_html_()
    assert html.count("<tr>") == len(part.layers.layers) + 1


def test_sizes_of_boundaries(part: splitnet.Partitioner) -> None:
    for cut in part.cuts()[:2]:
        head = part.split(after=cut.index)[0]
        boundary = head.run(part.example_inputs)[: head.info.boundary_count]
        assert cut.boundary_bytes == sum(value.numel() * value.element_size() for value in boundary), cut


def test_refused_cuts_say_why() -> None:
    class Noise(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.relu() + torch.rand(3)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        noisy = splitnet.Partitioner(torch.jit.script(Noise()), [torch.ones(3)])
    assert "random" in noisy.cuts()[0].refusal
    assert not noisy.is_legal([[0]])
    with pytest.raises(splitnet.UnsupportedModel, match="random"):
        noisy.split(after=0)
