"""Pieces of words as tokens: the sentencepiece library, after the rules of ULMFiT."""

from __future__ import annotations

import heapq
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from mfc.runtime.component import Range, tokenizer
from mfc.runtime.disk import write_file
from mfc.runtime.errors import RunError
from mfc.runtime.streams import Stream
from mfc.runtime.text.pool import Job, map_batches
from mfc.runtime.text.rules import BOS, SPECIAL, Chunker, rule_chunk, undo_rules
from mfc.runtime.text.tokenizer import UNKNOWN_ID, ChunkEncoder, Table, fitted_vocab, no_texts, unfitted
from mfc.runtime.text.vocab import VOCAB

if TYPE_CHECKING:
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
    4,192 bytes, lines are cut. A text is encoded word by word, since no piece crosses a space. Where a unigram model
    has two equally likely ways to cut a word, the library on a whole text may take the other one, since its sum of
    32-bit scores is rounded: runs of one character, such as `==========`; with the rules there are none. Control
    characters that are white space to Python end a word; the library leaves them out.

    Args:
        vocab_size: how many tokens the vocabulary has, special ones included.
        model: `unigram` or `bpe`.
        rules: whether to apply the rules of ULMFiT first, as `words` does. They make the texts lower case.
        character_coverage: the share of all characters in the texts that are not unknown.
        max_chars: where there is more text, the model is fitted on passages of this length together, drawn at random
            but always the same. A model takes about 40 bytes of memory for each.
    """

    def __init__(
        self,
        vocab_size: Annotated[int, Range(16, 1_000_000)] = 8_000,
        model: Literal["unigram", "bpe"] = "unigram",
        rules: bool = True,
        character_coverage: Annotated[float, Range(0.9, 1)] = 0.99999,
        max_chars: Annotated[int, Range(PASSAGE)] = 20_000_000,
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
        vocab = json.dumps(_vocab(_processor(model)), ensure_ascii=False, indent=0)
        write_file(folder / VOCAB, vocab.encode("utf-8"))

    def load(self, folder: Path) -> ChunkEncoder:
        """The encoder that `fit` wrote. Raises RunError R0123."""
        return load(str(folder), self.rules)

    def _read(self, texts: Iterable[str], processes: int, show: Callable[[int], None]) -> list[str]:
        """The passages that the model is fitted on: those with the smallest draws, as many as `max_chars` allows."""
        stream = Stream(0, "sentencepiece", "passages")
        kept: list[tuple[int, int, str]] = []  # a heap: the largest draw is first
        number = size = done = 0
        job = Job(f"{__name__}:reader", (self.rules,))
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


def load(folder: str, rules: bool) -> ChunkEncoder:
    """The encoder with the model in a folder."""
    vocab = fitted_vocab(Path(folder))
    model = _fitted_model(Path(folder, MODEL), len(vocab))
    unknown = model.unk_id()

    def number(chunk: str) -> list[int]:
        ids = (id for part in _parts(chunk, rules) for id in model.encode(part, out_type=int))
        return [UNKNOWN_ID if id == unknown else id for id in ids]

    def cut(chunk: str) -> list[str]:
        return [vocab[id] for id in number(chunk)]

    def join(tokens: list[str]) -> str:
        text = (
            "".join(f" {token}" if token in SPECIAL else token for token in tokens)
            .replace(SPACE, " ")
            .strip()
        )
        return undo_rules(text) if rules else text

    return ChunkEncoder(
        vocab, Chunker(rules, spaces=False), cut, number, join, Job(f"{__name__}:encoder", (folder, rules))
    )


def encoder(folder: str, rules: bool) -> Callable[[list[str]], tuple[bytes, bytes]]:
    """What encodes a batch."""
    return load(folder, rules).encode_batch


def reader(rules: bool) -> Callable[[list[str]], tuple[int, list[str]]]:
    """What reads a batch for fitting: gives the number of texts, and their lines after the rules in passages."""
    chunks = Chunker(rules, spaces=True)
    table = Table(lambda chunk: "\n" if "\n" in chunk and chunk.isspace() else " ".join(_parts(chunk, rules)))

    def read(texts: list[str]) -> tuple[int, list[str]]:
        passages: list[str] = []
        for text in texts:
            ruled = " ".join(map(table.__getitem__, chunks(text)))
            if rules and ruled:
                ruled = f"{BOS} {ruled}"  # as fastai has it: what it counts bears on the model
            passages += _passages(ruled.split("\n"))
        return len(texts), passages

    return read


def _parts(chunk: str, rules: bool) -> list[str]:
    """A chunk after the rules; what is no valid Unicode is a question mark, since the library takes no other."""
    if not chunk.isascii():
        chunk = chunk.encode("utf-8", "replace").decode()
    return rule_chunk(chunk) if rules else [chunk]


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
