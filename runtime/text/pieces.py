"""Pieces of words as tokens: the sentencepiece library, after the rules of ULMFiT."""

from __future__ import annotations

import heapq
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from mfc.runtime.component import Range, tokenizer
from mfc.runtime.disk import write_file
from mfc.runtime.errors import RunError
from mfc.runtime.streams import Stream
from mfc.runtime.text.pool import Job, in_batches, map_batches
from mfc.runtime.text.rules import BOS, BOS_ID, SPECIAL, UNK_ID, Chunker, rule_chunk, undo_rules
from mfc.runtime.text.tokenizer import (
    ChunkEncoder,
    Table,
    fitted_vocab,
    no_texts,
    readable,
    unfitted,
)  # fmt: skip
from mfc.runtime.text.vocab import write_vocab

if TYPE_CHECKING:
    import numpy as np
    from sentencepiece import SentencePieceProcessor

MODEL = "sentencepiece.model"
SPACE = "▁"
LINE = 4_000
"""Characters of a line that the model is fitted on; longer ones are cut at white space."""
PASSAGE = 10_000
"""Characters of the passages that are drawn where there is more text than a model is fitted on."""


@tokenizer
class sentencepiece:
    """Pieces of words, as many as the vocabulary has room for: no word is unknown.

    The library of Kudo and Richardson, "SentencePiece" (2018, arXiv:1808.06226), with the settings of fastai's
    SentencePieceTokenizer: a unigram language model (Kudo, 2018, arXiv:1804.10959) or byte-pair encoding (Sennrich et
    al., 2016, arXiv:1508.07909), fitted on the lines of the texts after the rules. Ids 0 to 8 are the special tokens,
    symbols that the library keeps whole; its own sign for unknown characters, id 9, is not used: those are xxunk. A
    piece that begins a word begins with `▁`. A text begins with xxbos. Line breaks are white space like any other.

    The same texts give the same model, however many processes there are. Where fastai leaves out lines of more than
    4,192 bytes, lines are cut. With the rules, a text is encoded word by word: no piece crosses a space. (Where a
    unigram model has two equally likely ways to cut a word, the library on a whole text could take the other one,
    since it rounds the sum of its scores; those are runs of one character, of which the rules leave none.) Control
    characters that are white space to Python end a word then; the library leaves them out.

    Args:
        vocab_size: how many tokens the vocabulary has, special ones included.
        model: `unigram` or `bpe`.
        rules: whether to apply the rules of ULMFiT first, as `words` does. They make the texts lower case.
        character_coverage: the share of all characters in the texts that are not unknown.
        max_chars: where there is more text, the model is fitted on passages of this length together, drawn at random
            but always the same. Fitting takes about 20 bytes of memory for each.
    """

    def __init__(
        self,
        vocab_size: Annotated[int, Range(16, 1_000_000)] = 8_000,
        model: Literal["unigram", "bpe"] = "unigram",
        rules: bool = True,
        character_coverage: Annotated[float, Range(0.9, 1)] = 0.99999,
        max_chars: Annotated[int, Range(10_000)] = 20_000_000,
    ) -> None:
        self.vocab_size = vocab_size
        self.model = model
        self.rules = rules
        self.character_coverage = character_coverage
        self.max_chars = max_chars

    def fit(
        self,
        texts: Iterable[str],
        folder: Path,
        processes: int = 1,
        show: Callable[[int], None] = lambda done: None,
    ) -> None:
        """Fits the model and writes it, `sentencepiece.model`, and `vocab.json` into `folder`.

        Raises RunError R0120 where the texts are empty, R0121 where they have fewer pieces than `vocab_size`, R0122
        where `vocab_size` has no room for their characters.
        """
        passages = self._read(texts, processes, show)
        lines = (line for passage in passages for line in passage.split("\n"))
        model = self._train(line for line in lines if line and not line.isspace())
        write_file(folder / MODEL, model)
        write_vocab(folder, _vocab(_processor(model)))

    def load(self, folder: Path) -> ChunkEncoder | PlainEncoder:
        """The encoder that `fit` wrote. Raises RunError R0123."""
        return load(str(folder), self.rules)

    def _read(self, texts: Iterable[str], processes: int, show: Callable[[int], None]) -> list[str]:
        """The passages that the model is fitted on: those with the smallest draws, as many as `max_chars` allows."""
        stream = Stream(0, "sentencepiece", "passages")
        kept: list[tuple[int, int, str]] = []  # a heap: the largest draw is first
        number = size = done = 0
        job = Job(f"{__name__}:reader", (self.rules,))
        processes = processes if self.rules else 1  # without rules there is nothing to do
        with closing(map_batches(reader(self.rules), job, texts, processes)) as batches:
            for count, passages in batches:
                for passage in passages:
                    heapq.heappush(kept, (-stream.at(number), number, passage))
                    size += len(passage)
                    number += 1
                    while size > self.max_chars and len(kept) > 1:
                        size -= len(heapq.heappop(kept)[2])
                done += count
                show(done)
        return [passage for _, _, passage in sorted(kept, key=lambda entry: entry[1])]

    def _train(self, lines: Iterator[str]) -> bytes:
        from sentencepiece import SentencePieceTrainer

        first = next(lines, None)
        if first is None:
            raise no_texts()
        model = io.BytesIO()
        try:
            SentencePieceTrainer.Train(
                sentence_iterator=_with(first, lines),
                model_writer=model,
                vocab_size=self.vocab_size,
                model_type=self.model,
                character_coverage=self.character_coverage,
                user_defined_symbols=[SPACE + token for token in SPECIAL],
                unk_id=len(SPECIAL),
                pad_id=-1,
                bos_id=-1,
                eos_id=-1,
                max_sentence_length=4 * LINE,
                num_threads=16,  # sums depend on it: not on the number of cores
                minloglevel=2,
            )
        except RuntimeError as error:
            raise self._told(error) or error from None
        return model.getvalue()

    def _told(self, error: RuntimeError) -> RunError | None:
        if "required_chars_.empty()" in str(error):  # nothing but special tokens
            return no_texts()
        if match := re.search(r"too high .*<= (\d+)", str(error)):
            largest = int(match[1])
            return RunError(
                "R0121",
                f"the training texts have no {self.vocab_size:,} different pieces: {largest:,} at most",
                help=f"write `vocab_size = {largest}` or less, or train on more texts",
            )
        if match := re.search(r"smaller than required_chars. \d+ vs (\d+)", str(error)):
            smallest = int(match[1])
            return RunError(
                "R0122",
                f"`vocab_size = {self.vocab_size}` has no room for the characters of the texts: {smallest:,} at least",
                help=f"write `vocab_size = {smallest}` or more, or a lower `character_coverage`",
            )
        return None


class PlainEncoder:
    """An encoder without rules: the library reads whole texts, in threads of its own."""

    def __init__(self, vocab: list[str], model: SentencePieceProcessor) -> None:
        self.vocab = vocab
        self._model = model

    def tokens(self, text: str) -> list[str]:
        """The tokens of a text, xxbos first."""
        return [self.vocab[i] for i in next(self.encode([text]))]

    def encode(self, texts: Iterable[str], processes: int = 1) -> Iterator[np.ndarray]:
        """The ids of each text, int32, in order.

        Args:
            processes: how many threads work on it.
        """
        import numpy as np

        first = np.array([BOS_ID], np.int32)
        for batch in in_batches(map(_valid, texts)):
            for found in self._model.encode(batch, out_type="numpy", num_threads=processes):
                ids = np.concatenate([first, found])
                ids[ids == self._model.unk_id()] = UNK_ID
                yield ids

    def decode(self, ids: Sequence[int]) -> str:
        """A readable text with these ids."""
        return join_pieces(readable(self.vocab, ids))


def load(folder: str, rules: bool) -> ChunkEncoder | PlainEncoder:
    """The encoder with the model in a folder."""
    vocab = fitted_vocab(Path(folder))
    model = _fitted_model(Path(folder, MODEL), len(vocab))
    if not rules:
        return PlainEncoder(vocab, model)
    unknown = model.unk_id()

    def number(chunks: list[str]) -> list[list[int]]:
        parts = [rule_chunk(_valid(chunk)) for chunk in chunks]
        ids = iter(model.encode([part for found in parts for part in found], out_type=int, num_threads=1))
        return [[UNK_ID if i == unknown else i for _ in found for i in next(ids)] for found in parts]

    def cut(chunk: str) -> list[str]:
        return [vocab[i] for i in number([chunk])[0]]

    def join(tokens: list[str]) -> str:
        return undo_rules(join_pieces(tokens))

    return ChunkEncoder(
        vocab, Chunker(True, spaces=False), cut, number, join, Job(f"{__name__}:encoder", (folder,))
    )


def encoder(folder: str) -> Callable[[list[str]], tuple[bytes, bytes]]:
    """What encodes a batch with the rules."""
    found = load(folder, rules=True)
    assert isinstance(found, ChunkEncoder)
    return found.encode_batch


def join_pieces(tokens: list[str]) -> str:
    """A readable text of pieces and special tokens."""
    return "".join(f" {token}" if token in SPECIAL else token for token in tokens).replace(SPACE, " ").strip()


def reader(rules: bool) -> Callable[[list[str]], tuple[int, list[str]]]:
    """What reads a batch for fitting: gives the number of texts, and their lines after the rules in passages."""
    chunks = Chunker(True, spaces=True)
    table = Table(
        lambda found: ["\n" if "\n" in c and c.isspace() else " ".join(rule_chunk(c)) for c in found]
    )

    def ruled(texts: list[str]) -> Iterator[str]:
        cut = [chunks(text) for text in texts]
        table.fill(cut)
        for found in cut:
            # xxbos, as fastai has it: what it counts bears on the model
            yield " ".join([BOS, *map(table.__getitem__, found)]) if found else ""

    def read(texts: list[str]) -> tuple[int, list[str]]:
        valid = list(map(_valid, texts))
        lines = ruled(valid) if rules else valid
        return len(texts), [passage for text in lines for passage in _passages(text.split("\n"))]

    return read


def _valid(text: str) -> str:
    """A text with question marks for what is no valid Unicode: the library takes no other."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _passages(lines: Iterable[str]) -> Iterator[str]:
    """Lines of at most `LINE` characters, joined to passages of at most `PASSAGE`."""
    passage: list[str] = []
    size = 0
    for line in lines:
        for part in _cut_line(line.strip()):
            if size + len(part) > PASSAGE:
                yield "\n".join(passage)
                passage, size = [], 0
            passage.append(part)
            size += len(part) + 1
    if passage:
        yield "\n".join(passage)


def _cut_line(line: str) -> Iterator[str]:
    start = 0
    while len(line) - start > LINE:
        end = line.rfind(" ", start, start + LINE)
        end = end if end > start else start + LINE
        yield line[start:end]
        start = end
    if start < len(line):
        yield line[start:]


def _with(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _processor(model: bytes) -> SentencePieceProcessor:
    from sentencepiece import SentencePieceProcessor

    return SentencePieceProcessor(model_proto=model)


def _fitted_model(file: Path, size: int) -> SentencePieceProcessor:
    """The model in a file. Raises RunError R0123 where it is missing, damaged or has not `size` pieces."""
    try:
        data = file.read_bytes()
        model = _processor(data) if data else None
    except (OSError, RuntimeError):
        model = None
    if model is None or model.get_piece_size() != size:
        raise unfitted(file)
    return model


def _vocab(model: SentencePieceProcessor) -> list[str]:
    pieces = [model.id_to_piece(i) for i in range(model.get_piece_size())]
    return [*SPECIAL, *pieces[len(SPECIAL) :]]
