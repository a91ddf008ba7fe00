"""Batches for language models, against a stream that is put together in memory."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfc.runtime.data import labels, splits
from mfc.runtime.data.files import Listing
from mfc.runtime.data.items import list_items
from mfc.runtime.errors import RunError
from mfc.runtime.streams import Stream
from mfc.runtime.text import token_file as token_file_module
from mfc.runtime.text.lm_batches import LMLoader, lm_loaders
from tests.runtime.text.token_files import documents, items, token_file

FIXED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
LENGTHS = st.lists(st.integers(1, 30), min_size=1, max_size=12)
SMALL = {"batch_size": st.integers(1, 5), "seq_len": st.integers(1, 9), "backwards": st.booleans()}


def naive(texts, batch_size, seq_len, backwards):
    """All batches as lists: the stream in memory, cut as the page of fastai's LMDataLoader has it."""
    stream = [token for text in texts for token in (text[::-1] if backwards else text)]
    length = (len(stream) - 1) // batch_size
    rows = [stream[r * length : (r + 1) * length + 1] for r in range(batch_size)]
    return [
        ([row[k : min(k + seq_len, length)] for row in rows], [row[k + 1 : k + seq_len + 1] for row in rows])
        for k in range(0, length, seq_len)
    ]


def loader(tokens, shuffle=True, ids=None, stage="fit", seed=42, **arguments):
    ids = range(len(tokens)) if ids is None else ids
    return LMLoader(
        tokens, ids, "train", shuffle=Stream(seed, stage, "shuffle") if shuffle else None, **arguments
    )


def as_lists(batches):
    return [(b.x.tolist(), b.y.tolist()) for b in batches]


def same(first, second):
    assert len(first) == len(second)
    return all(torch.equal(a, b) for x, y in zip(first, second) for a, b in zip(x, y))


def stream_of(batches):
    """The stream that batches were cut from, as far as it is in them."""
    rows = torch.cat([b.x for b in batches], 1)
    return [*rows.flatten().tolist(), batches[-1].y[-1, -1].item()]


def order_of(batches, count):
    """The documents in the order of a stream of `documents`; those that are not in it last."""
    found = list(dict.fromkeys(token // 1000 - 1 for token in stream_of(batches)))
    return found + [i for i in range(count) if i not in found]


@FIXED
@given(lengths=LENGTHS, **SMALL)
def test_batches_in_order_are_the_naive_ones(tmp_path, lengths, batch_size, seq_len, backwards):
    texts = documents(lengths)
    tokens = token_file(tmp_path, texts)
    arguments = {"batch_size": batch_size, "seq_len": seq_len, "backwards": backwards}
    if sum(lengths) <= batch_size:
        with pytest.raises(RunError, match="R0132"):
            loader(tokens, False, **arguments)
        return
    own = loader(tokens, False, **arguments)
    batches = list(own)
    assert as_lists(batches) == naive(texts, **arguments) and len(own) == len(batches)
    assert same(list(own), batches)  # validation is the same in each epoch
    for x, y, found in batches:
        assert (
            (x.dtype, y.dtype, found.dtype) == (torch.int64,) * 3 and x.is_contiguous() and y.is_contiguous()
        )
        assert [token // 1000 - 1 for token in x[:, 0].tolist()] == found.tolist()


@FIXED
@given(lengths=LENGTHS, epoch=st.integers(0, 5), **SMALL)
def test_laws_of_a_shuffled_epoch(tmp_path, lengths, epoch, batch_size, seq_len, backwards):
    texts = documents(lengths)
    if sum(lengths) <= batch_size:
        return
    own = loader(token_file(tmp_path, texts), batch_size=batch_size, seq_len=seq_len, backwards=backwards)
    own.set_epoch(epoch)
    batches = list(own)
    # a stream of the documents in another order, each whole
    order = order_of(batches, len(texts))
    assert as_lists(batches) == naive([texts[i] for i in order], batch_size, seq_len, backwards)
    # each token is a target once, but for the first one and fewer than batch_size at the end
    targets = [token for b in batches for token in b.y.flatten().tolist()]
    every = {token for text in texts for token in text}
    assert len(set(targets)) == len(targets) and set(targets) <= every
    assert len(every) - len(targets) <= batch_size
    # each row goes on where it was, and targets are what comes next
    for before, after in pairwise(batches):
        assert torch.equal(before.y[:, -1], after.x[:, 0])
    for x, y, _ in batches:
        assert torch.equal(x[:, 1:], y[:, :-1])


@FIXED
@given(lengths=LENGTHS, data=st.data(), **SMALL)
def test_resumed_equals_uninterrupted(tmp_path, lengths, data, batch_size, seq_len, backwards):
    if sum(lengths) <= batch_size:
        return
    tokens = token_file(tmp_path, documents(lengths))
    arguments = {"batch_size": batch_size, "seq_len": seq_len, "backwards": backwards}
    whole = loader(tokens, **arguments)
    whole.set_epoch(2)
    expected = [*whole, *whole]
    stop = data.draw(st.integers(0, len(whole)))
    stopped = loader(tokens, **arguments)
    stopped.set_epoch(2)
    given = [batch for _, batch in zip(range(stop), stopped)]
    state = json.loads(json.dumps(stopped.state_dict()))
    assert state == {"epoch": 2, "batch": stop} and same(given, expected[:stop])
    resumed = loader(tokens, **arguments)
    resumed.load_state_dict(state)
    assert same([*resumed, *resumed], expected[stop:])
    next(iter(whole))
    assert len(list(whole)) == len(whole)  # only a loaded state is resumed, not a loop that was left


def test_order_follows_from_seed_stage_and_epoch_alone(tmp_path):
    texts = documents([7] * 40)
    tokens = token_file(tmp_path, texts)

    def orders(**arguments):
        own = loader(tokens, batch_size=2, seq_len=5, **arguments)
        return [order_of(list(own), 40) for _ in range(3)]

    before = torch.random.get_rng_state()
    torch.manual_seed(1)
    first = orders()
    torch.manual_seed(2)
    assert orders() == first
    torch.random.set_rng_state(before)
    assert len({tuple(order) for order in [*first, *orders(seed=1), *orders(stage="other")]}) == 9
    shape = loader(tokens, batch_size=3, seq_len=11)
    assert order_of(list(shape), 40) == first[0]  # the same stream, cut another way
    shape.set_epoch(2)
    assert order_of(list(shape), 40) == first[2]


def test_memory_that_is_given_back_changes_nothing(tmp_path, monkeypatch):
    texts = documents([3, 200, 1, 40] * 5)
    expected = list(loader(token_file(tmp_path, texts), batch_size=4, seq_len=6))
    monkeypatch.setattr(token_file_module, "WINDOWS", 1)
    assert same(list(loader(token_file(tmp_path, texts), batch_size=4, seq_len=6)), expected)


def test_loaders_of_a_data_block(tmp_path):
    texts = documents([9, 8, 30, 20, 1, 1, 14])
    tokens = token_file(tmp_path, texts)
    vocab = [f"token {i}" for i in range(9000)]
    split = items(7, valid=[1, 4, 6])
    dls = lm_loaders(split, tokens, vocab, batch_size=2, seq_len=4, stage="fit")
    assert dls.vocab is vocab and dls.tokens_vocab is vocab and dls.items is split and dls.skipped == {}
    assert dls.device == torch.device("cpu")
    assert as_lists(dls.valid) == naive([texts[1], texts[4], texts[6]], 2, 4, False)
    trained = list(dls.train)
    assert {t // 1000 - 1 for t in stream_of(trained)} <= {0, 2, 3, 5}
    other = lm_loaders(split, tokens, vocab, batch_size=2, seq_len=4, stage="fit", backwards=True)
    assert order_of(list(other.train), 7) == order_of(trained, 7)
    dls.close()
    dls.train.set_epoch(0)
    assert same(list(dls.train), trained)  # what was closed can be used again


def test_documents_without_words(tmp_path):
    tokens = token_file(tmp_path, [[2]] * 10)
    assert [b.x.tolist() for b in loader(tokens, batch_size=3, seq_len=2)] == [[[2, 2]] * 3, [[2]] * 3]


def test_too_few_tokens(tmp_path):
    tokens = token_file(tmp_path, documents([40, 1, 1, 500]))
    with pytest.raises(RunError) as caught:
        lm_loaders(items(4, valid=[0]), tokens, [])
    assert str(caught.value) == (
        "error[R0132]: the valid part is 1 text with 40 tokens; a batch of 64 rows needs 65\n"
        "  = help: set `batch_size` to at most 39, or add texts to this part"
    )
    with pytest.raises(RunError) as caught:
        lm_loaders(items(4, valid=[1]), tokens, [], batch_size=3)
    assert str(caught.value) == (
        "error[R0132]: the valid part is 1 text with 1 token; a batch of 3 rows needs 4\n"
        "  = help: add texts to this part"
    )
    with pytest.raises(
        RunError, match=r"the train part is 2 texts with 41 tokens; a batch of 100 rows needs 101"
    ):
        lm_loaders(items(4, valid=[2, 3]), tokens, [], batch_size=100)
    with pytest.raises(RunError, match="R0106"):  # one document can't be both trained and validated on
        list_items(Listing(["a/1.txt"], [""]), splits.random(), labels.parent())


def test_one_long_document(tmp_path):
    tokens = token_file(tmp_path, [np.arange(1_000_000) % 60_000], 60_000)
    own = loader(tokens, batch_size=64, seq_len=72)
    assert own.row_length == 15_624 == 217 * 72
    assert [b.y.shape for b in own] == [(64, 72)] * 217


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu(tmp_path):
    tokens = token_file(tmp_path, documents([50] * 30))
    expected = list(loader(tokens, batch_size=4, seq_len=7))
    found = list(loader(tokens, batch_size=4, seq_len=7, device="cuda"))
    assert found[0].x.is_cuda and found[0].y.is_cuda and not found[0].items.is_cuda
    assert same([tuple(t.cpu() for t in batch) for batch in found], expected)
