"""Work in pieces: the same results on any number of threads, and nothing left changed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from mfc.runtime.data import batch_pipeline
from mfc.runtime.data.threads import run_each
from tests.runtime.data.augmentation import augment, everything, noise


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_every_piece_is_done_once_and_alone(threads: int):
    for inference in (False, True):
        done, inside = [], []

        def work(piece: int, done=done, inside=inside) -> None:
            done.append(piece)
            grad, within = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
            inside.append((torch.get_num_threads(), grad, within))

        with torch.inference_mode(inference):
            run_each(work, range(20))
        assert sorted(done) == list(range(20))
        assert set(inside) == {(1, False, inference)}
    assert torch.get_num_threads() == threads


def test_what_a_piece_raises_is_raised(threads: int):
    with pytest.raises(ZeroDivisionError):
        run_each(lambda piece: 1 // piece, [3, 0, 2])


def test_results_do_not_depend_on_threads(threads: int, monkeypatch: pytest.MonkeyPatch):
    images = noise(11, 3, 40, 44)
    whole = augment(images, *everything())
    monkeypatch.setattr(batch_pipeline, "_PIECE", 10_000)
    assert torch.equal(augment(images, *everything()), whole)
    with torch.inference_mode():
        assert torch.equal(augment(images, *everything()), whole)
    parameter = torch.ones(1, requires_grad=True)
    (augment(images, *everything()) * parameter).sum().backward()
    assert parameter.grad is not None
