"""The token file: what was written is read, in bounded memory, or it is said why not."""

from __future__ import annotations

import errno
import io
import subprocess
import sys
from array import array

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfc.runtime.errors import RunError
from mfc.runtime.text import token_file
from mfc.runtime.text.token_file import Tokens, write_tokens

FIXED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
IDS = st.lists(st.integers(0, 70_000), min_size=1, max_size=8)


@FIXED
@given(documents=st.lists(IDS, max_size=8), large=st.booleans())
def test_what_was_written_is_read(tmp_path, documents, large):
    size = 1 << 17 if large else 1 << 16
    documents = [[i % size for i in ids] for ids in documents]
    write_tokens((np.array(ids, np.int32) for ids in documents), size, tmp_path)
    tokens = Tokens.load(tmp_path)
    assert tokens.ids.dtype == (np.int32 if large else np.uint16) and not tokens.ids.flags.writeable
    assert len(tokens) == len(documents) and tokens.lengths.tolist() == list(map(len, documents))
    assert [tokens.document(i).tolist() for i in range(len(tokens))] == documents
    assert tokens.starts.tolist() == [sum(map(len, documents[:i])) for i in range(len(documents) + 1)]
    assert np.array_equal(np.load(tmp_path / "ids.npy"), tokens.ids)  # any reader of .npy can read it


def test_ids_at_places_are_the_same_after_memory_was_given_back(tmp_path, monkeypatch):
    monkeypatch.setattr(token_file, "WINDOWS", 3)
    write_tokens([np.arange(100), np.arange(50)], 100, tmp_path)
    tokens = Tokens.load(tmp_path)
    places = np.array([[0, 1, 2], [120, 119, 118], [5, 99, 100]])
    for _ in range(5):
        assert tokens.take(places).tolist() == [[0, 1, 2], [20, 19, 18], [5, 99, 0]]
        assert tokens.document(1).tolist() == list(range(50))


def test_progress_counts_documents(tmp_path):
    seen = []
    write_tokens([np.array([2])] * 130, 10, tmp_path, seen.append)
    assert seen == [64, 128]


def test_a_document_is_on_the_disk_before_those_after_the_next_are_made(tmp_path):
    def documents():
        for i in range(8):
            yield np.full(1_000_000, i, np.int32)
            assert (tmp_path / "ids.npy").stat().st_size >= 2_000_000 * (i + 1) - token_file.BUFFER

    write_tokens(documents(), 100, tmp_path)
    assert Tokens.load(tmp_path).starts[-1] == 8_000_000


@pytest.mark.parametrize(
    "ids, found", [([2, 10], "ids from 2 to 10"), ([-1], "ids from -1 to -1"), ([], "no ids")]
)
def test_ids_that_the_vocabulary_lacks(tmp_path, ids, found):
    with pytest.raises(RunError) as caught:
        write_tokens([np.array([1]), np.array(ids, np.int32)], 10, tmp_path)
    assert str(caught.value) == (
        f"error[R0111]: the tokenizer gave {found} for text 1; the vocabulary's are 0 to 9"
    )


class Full(io.BytesIO):
    """A file on a disk with room for its header."""

    def write(self, data):
        if self.tell() + memoryview(data).nbytes > 200:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


def test_a_full_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("builtins.open", lambda *_: Full())
    with pytest.raises(RunError) as caught:
        write_tokens([np.arange(500)], 500, tmp_path)
    assert caught.value.code == "R0301" and f"{tmp_path}/ids.npy" in caught.value.message


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(RunError, match=r"R0303.*ids\.npy"):
        write_tokens([], 10, tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["ids.npy", "starts.npy"])
def test_every_truncated_file_is_said(tmp_path, name):
    write_tokens([np.arange(20), np.arange(3)], 100, tmp_path)
    whole = (tmp_path / name).read_bytes()
    for size in range(len(whole)):
        (tmp_path / name).write_bytes(whole[:size])
        with pytest.raises(RunError) as caught:
            Tokens.load(tmp_path)
        assert caught.value.code == "R0131"
    (tmp_path / name).write_bytes(whole[:-2] if name == "ids.npy" else b"")
    with pytest.raises(RunError) as caught:
        Tokens.load(tmp_path)
    assert str(caught.value).startswith(f"error[R0131]: the token file in `{tmp_path}` can't be read: ")
    (tmp_path / name).unlink()
    with pytest.raises(RunError, match=r"R0131.*: No such file or directory"):
        Tokens.load(tmp_path)


def test_files_that_do_not_belong_together(tmp_path):
    write_tokens([np.arange(20)], 100, tmp_path)
    np.save(tmp_path / "starts.npy", np.frombuffer(array("q", [0, 19]), np.int64))
    with pytest.raises(RunError, match="its documents have 19 ids, and it holds 20"):
        Tokens.load(tmp_path)


def test_writing_needs_no_torch():
    code = "import sys; from mfc.runtime.text import token_file; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
