"""Batches of whole documents: each once, padded at the end, of near-equal lengths."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfc.runtime.data.items import Items
from mfc.runtime.streams import Stream
from mfc.runtime.text import text_batches
from mfc.runtime.text.text_batches import DocumentLoader, text_loaders
from tests.runtime.text.token_files import documents, items, token_file

FIXED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
LENGTHS = st.lists(st.integers(1, 30), min_size=1, max_size=40)
SIZES = st.integers(1, 6)


def loader(tokens, batch_size, shuffle=True, stage="fit", seed=42, **arguments):
    targets = torch.arange(len(tokens)) * 10
    stream = Stream(seed, stage, "shuffle") if shuffle else None
    return DocumentLoader(tokens, range(len(tokens)), targets, batch_size, stream, **arguments)


def naive(texts, ids, backwards):
    """One batch as lists."""
    chosen = [texts[i][::-1] if backwards else texts[i] for i in ids]
    length = max(map(len, chosen))
    return [text + [1] * (length - len(text)) for text in chosen]


def same(first, second):
    assert len(first) == len(second)
    return all(torch.equal(a, b) for x, y in zip(first, second) for a, b in zip(x, y))


def ids_of(batches):
    return [b.items.tolist() for b in batches]


@FIXED
@given(
    lengths=LENGTHS, batch_size=SIZES, shuffle=st.booleans(), backwards=st.booleans(), epoch=st.integers(0, 3)
)
def test_laws_of_an_epoch(tmp_path, lengths, batch_size, shuffle, backwards, epoch):
    texts = documents(lengths)
    own = loader(token_file(tmp_path, texts), batch_size, shuffle, backwards=backwards)
    own.set_epoch(epoch)
    batches = list(own)
    assert len(own) == len(batches) == -(-len(texts) // batch_size)
    assert sorted(i for ids in ids_of(batches) for i in ids) == list(range(len(texts)))
    for x, y, found in batches:
        assert (x.dtype, y.dtype, found.dtype) == (torch.int64,) * 3
        assert x.tolist() == naive(texts, found.tolist(), backwards)  # padded at the end, with xxpad
        assert y.tolist() == [10 * i for i in found.tolist()]
    assert batches[0].x.shape[1] == max(lengths)
    sizes = [len(b.x) for b in batches]
    if shuffle and batch_size > 2 and len(texts) > 1:
        assert min(sizes) > 1
    assert sum(size < batch_size for size in sizes) <= 2 and max(sizes) <= batch_size


@FIXED
@given(lengths=LENGTHS, batch_size=SIZES)
def test_validation_is_sorted_by_length(tmp_path, lengths, batch_size):
    own = loader(token_file(tmp_path, documents(lengths)), batch_size, shuffle=False)
    order = [i for ids in ids_of(own) for i in ids]
    assert order == sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    assert ids_of(own) == ids_of(own)


@FIXED
@given(lengths=LENGTHS, batch_size=SIZES, data=st.data())
def test_resumed_equals_uninterrupted(tmp_path, lengths, batch_size, data):
    tokens = token_file(tmp_path, documents(lengths))
    whole = loader(tokens, batch_size)
    whole.set_epoch(2)
    expected = [*whole, *whole]
    stop = data.draw(st.integers(0, len(whole)))
    stopped = loader(tokens, batch_size)
    stopped.set_epoch(2)
    given = [batch for _, batch in zip(range(stop), stopped)]
    state = json.loads(json.dumps(stopped.state_dict()))
    assert state == {"epoch": 2, "batch": stop} and same(given, expected[:stop])
    resumed = loader(tokens, batch_size)
    resumed.load_state_dict(state)
    assert same([*resumed, *resumed], expected[stop:])


def test_lengths_in_a_batch_are_near_and_batches_are_in_no_order(tmp_path):
    lengths = np.random.default_rng(0).geometric(0.005, 4000).tolist()
    tokens = token_file(tmp_path, [[2] * length for length in lengths], 10)
    batches = list(loader(tokens, 16))
    widths = [b.x.shape[1] for b in batches]
    padded = sum(b.x.numel() for b in batches) / sum(lengths)
    unsorted = 16 * np.reshape(lengths, (-1, 16)).max(1).sum() / sum(lengths)
    assert padded < 1.1 and unsorted > 3
    assert widths[0] == max(lengths)
    assert abs(np.corrcoef(widths[:-1], range(len(widths) - 1))[0, 1]) < 0.2


def test_every_epoch_has_its_batches_and_they_follow_from_seed_stage_and_epoch(tmp_path, monkeypatch):
    monkeypatch.setattr(text_batches, "POOL", 3)
    tokens = token_file(tmp_path, documents([5 + i % 17 for i in range(100)]))

    def epochs(**arguments):
        own = loader(tokens, 4, **arguments)
        return [tuple(map(tuple, ids_of(own))) for _ in range(3)]

    before = torch.random.get_rng_state()
    torch.manual_seed(1)
    first = epochs()
    torch.manual_seed(2)
    assert epochs() == first
    torch.random.set_rng_state(before)
    assert len({*first, *epochs(seed=1), *epochs(stage="other")}) == 9
    assert set(map(frozenset, first[0])) != set(
        map(frozenset, first[1])
    )  # other companions, not only another order
    own = loader(tokens, 4)
    own.set_epoch(2)
    assert tuple(map(tuple, ids_of(own))) == first[2]


def test_loaders_of_a_data_block(tmp_path):
    texts = documents([9, 8, 30, 20, 1, 1, 14])
    tokens = token_file(tmp_path, texts)
    split = items(7, valid=[1, 4, 5, 2, 6])
    dls = text_loaders(split, tokens, ["a", "b"], batch_size=2, stage="fit", backwards=True)
    assert dls.vocab == ["0", "1", "2"] and dls.tokens_vocab == ["a", "b"] and dls.items is split
    assert dls.skipped == {} and dls.device == torch.device("cpu")
    assert ids_of(dls.valid) == [[2, 6, 1, 4], [5]]
    assert sorted(i for ids in ids_of(dls.train) for i in ids) == [0, 3]
    for x, y, found in [*dls.train, *dls.valid]:
        assert [dls.vocab[i] for i in y.tolist()] == [str(i % 3) for i in found.tolist()]
        assert x.tolist() == naive(texts, found.tolist(), backwards=True)
    first = list(dls.valid)
    dls.close()
    assert same(list(dls.valid), first)


def test_values_are_floats(tmp_path):
    split = Items(["a", "b"], ["", ""], [0], [1], [0.5, 2.5], [])
    dls = text_loaders(split, token_file(tmp_path, [[2], [2, 9]]), [])
    ((x, y, _),) = dls.valid
    assert x.tolist() == [[2, 9]] and y.dtype == torch.float32 and y.tolist() == [2.5]


def test_documents_without_words(tmp_path):
    batches = list(loader(token_file(tmp_path, [[2], [2, 9, 9], [2]]), 3, shuffle=False))
    assert batches[0].x.tolist() == [[2, 9, 9], [2, 1, 1], [2, 1, 1]]
    assert [b.x.tolist() for b in loader(token_file(tmp_path, [[2]]), 64)] == [[[2]]]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu(tmp_path):
    tokens = token_file(tmp_path, documents([50, 3, 7, 12] * 9))
    expected = list(loader(tokens, 4))
    found = list(loader(tokens, 4, device="cuda"))
    assert found[0].x.is_cuda and found[0].y.is_cuda and not found[0].items.is_cuda
    assert same([tuple(t.cpu() for t in batch) for batch in found], expected)
