"""Words as tokens, after the rules of ULMFiT."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Annotated

from mfc.runtime.component import Range, tokenizer
from mfc.runtime.errors import RunError
from mfc.runtime.text.english import split_chunk
from mfc.runtime.text.pool import Job, map_batches
from mfc.runtime.text.rules import SPECIAL, UNK_ID, Chunker, rm_useless_spaces, rule_chunk, undo_rules
from mfc.runtime.text.tokenizer import ChunkEncoder, Table, fitted_vocab, no_texts
from mfc.runtime.text.vocab import write_vocab

COUNTED = 2_000_000
"""Different tokens that are counted at most, so that memory stays bounded."""
_GLUED_BEFORE = frozenset("-–/([{$£€#“‘«\\")
_GLUED_AFTER = frozenset("-–/.,!?;:)]}%…”’»\\")


@tokenizer
class words:
    """English words, cut as fastai's word tokenizer cuts them, after the rules of ULMFiT.

    Contractions and punctuation are tokens of their own (`do n't stop !`): the rules of spaCy's English tokenizer, see
    `mfc.runtime.text.english`, which also says where it differs. Line breaks and the like are tokens too. With `rules`
    texts are in lower case, and marks stand for what was lost: xxmaj before a word with a capital, xxup before one in
    capitals, `xxrep 4 !` for `!!!!` and `xxwrep 3 no` for `no no no`; HTML's entities are characters.
    ULMFiT is Howard and Ruder (2018), arXiv:1801.06146.

    The vocabulary has the special tokens, then the most frequent ones of the training texts; of equally frequent ones
    the first in alphabetical order. Any other token is xxunk. A text begins with xxbos. Special tokens that a text
    contains as words are taken for what they are. Where texts have more than 2 million different tokens, the rarest
    are dropped from the count as it goes on (after Manku and Motwani, "Approximate frequency counts over data
    streams", 2002).

    Args:
        max_vocab: how many tokens the vocabulary has at most, special ones included.
        min_freq: tokens that occur less often in the training texts are unknown.
        rules: whether to apply the rules.
    """

    def __init__(
        self,
        max_vocab: Annotated[int, Range(10)] = 60_000,
        min_freq: Annotated[int, Range(1)] = 3,
        rules: bool = True,
    ) -> None:
        self.max_vocab = max_vocab
        self.min_freq = min_freq
        self.rules = rules

    def fit(
        self,
        texts: Iterable[str],
        folder: Path,
        processes: int = 1,
        show: Callable[[int], None] = lambda done: None,
    ) -> None:
        """Counts the tokens of the texts and writes the vocabulary, `vocab.json`, into `folder`.

        Raises RunError R0120 where there are no tokens at all, R0125 where none is frequent enough.
        """
        counts: Counter[str] = Counter()
        done = 0
        job = Job(f"{__name__}:counter", (self.rules,))
        with closing(map_batches(counter(self.rules), job, texts, processes)) as batches:
            for number, found in batches:
                counts.update(found)
                least = 1
                while len(counts) > COUNTED:
                    counts = Counter({token: n for token, n in counts.items() if n > least})
                    least += 1
                done += number
                show(done)
        for token in SPECIAL:
            counts.pop(token, None)
        if not counts:
            raise no_texts()
        frequent = sorted((-n, token) for token, n in counts.items() if n >= self.min_freq)
        if not frequent:
            raise RunError(
                "R0125",
                f"no token occurs {self.min_freq} times in the training texts",
                help=f"write `min_freq = {max(counts.values())}` or less, or train on more texts",
            )
        vocab = [*SPECIAL, *(token for _, token in frequent[: self.max_vocab - len(SPECIAL)])]
        write_vocab(folder, vocab)

    def load(self, folder: Path) -> ChunkEncoder:
        """The encoder that `fit` wrote. Raises RunError R0123."""
        return load(str(folder), self.rules)


def load(folder: str, rules: bool) -> ChunkEncoder:
    """The encoder with the vocabulary in a folder."""
    vocab = fitted_vocab(Path(folder))
    ids = {token: i for i, token in enumerate(vocab)}
    cut = _ruled_tokens if rules else _tokens

    def number(chunks: list[str]) -> list[list[int]]:
        return [[ids.get(token, UNK_ID) for token in cut(chunk)] for chunk in chunks]

    job = Job(f"{__name__}:encoder", (folder, rules))
    return ChunkEncoder(
        vocab, Chunker(rules, spaces=True), cut, number, _undone if rules else join_words, job
    )


def encoder(folder: str, rules: bool) -> Callable[[list[str]], tuple[bytes, bytes]]:
    """What encodes a batch."""
    return load(folder, rules).encode_batch


def counter(rules: bool) -> Callable[[list[str]], tuple[int, dict[str, int]]]:
    """What counts the tokens of a batch: gives the number of texts and the counts."""
    chunks = Chunker(rules, spaces=True)
    cut = _ruled_tokens if rules else _tokens
    table = Table(lambda found: map(cut, found))

    def count(texts: list[str]) -> tuple[int, dict[str, int]]:
        found: Counter[str] = Counter()
        for text in texts:
            found.update(chunks(text))
        table.fill([found])
        counts: dict[str, int] = {}
        for chunk, n in found.items():
            for token in table[chunk]:
                counts[token] = counts.get(token, 0) + n
        return len(texts), counts

    return count


def _tokens(chunk: str) -> list[str]:
    return [chunk.replace(" ", "▁")] if chunk.isspace() else split_chunk(chunk)


def _ruled_tokens(chunk: str) -> list[str]:
    if chunk.isspace():
        return [rm_useless_spaces(chunk).replace(" ", "▁")]
    return [token for part in rule_chunk(chunk) for token in split_chunk(part)]


def join_words(tokens: list[str]) -> str:
    """A text of tokens, with spaces where English has them. Hyphens are taken for those within a word."""
    out: list[str] = []
    glue = True
    quoted = False
    for token in tokens:
        if token.replace("▁", "").isspace():
            out.append(token.replace("▁", " "))
            glue = True
            continue
        closes = quoted and token == '"'
        follows = token in _GLUED_AFTER or not token.strip(".") or (token[0] in "'’" and len(token) > 1)
        follows = follows or token in ("n't", "n’t")
        if not (glue or closes or follows):
            out.append(" ")
        out.append(token)
        if token == '"':
            quoted = not quoted
        glue = token in _GLUED_BEFORE or (token == '"' and quoted)
    return "".join(out)


def _undone(tokens: list[str]) -> str:
    return undo_rules(join_words(tokens))
