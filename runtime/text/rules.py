"""The rules of ULMFiT for texts: they make one token of what would be many, and keep what they take away as tokens.

Jeremy Howard and Sebastian Ruder, "Universal Language Model Fine-tuning for Text Classification" (2018,
arXiv:1801.06146); rules and their order are those of fastai 2 (fastai.text.core). `apply_rules` is their plain
composition. `Chunker` and `rule_chunk` give the same at a fraction of the time: of all rules only `fix_html`,
`replace_rep` and `replace_wrep` can look beyond a chunk between white space, and the last two rarely apply.
"""

from __future__ import annotations

import html
import re
from itertools import compress, islice
from operator import eq

SPECIAL = ("xxunk", "xxpad", "xxbos", "xxeos", "xxfld", "xxrep", "xxwrep", "xxup", "xxmaj")
UNK, PAD, BOS, EOS, FLD, REP, WREP, UP, MAJ = SPECIAL
UNK_ID, PAD_ID, BOS_ID, EOS_ID = map(SPECIAL.index, (UNK, PAD, BOS, EOS))

_HTML = (
    ("#39;", "'"), ("amp;", "&"), ("#146;", "'"), ("nbsp;", " "), ("#36;", "$"), ("\\n", "\n"), ("quot;", "'"),
    ("<br />", "\n"), ('\\"', '"'), ("<unk>", UNK), (" @.@ ", "."), (" @-@ ", "-"), ("...", " …"),
)  # fmt: skip
_REPEATED = re.compile(r"(\S)(\1{2,})")
_WORDS_REPEATED = re.compile(r"(?:\s|^)(\w+)\s+((?:\1\s+)+)\1(\s|\W|$)")
_MARKS = re.compile(r"([/#\\])")
_SPACES = re.compile(r" {2,}")
_CAPITALS = re.compile(r"(\s|^)([A-Z]+[^a-z\s]*)(?=\s|$)")
_CAPITAL = re.compile(r"(\s|^)([A-Z][^A-Z\s]*)(?=\s|$)")
_CAPITALS_CHUNK = re.compile(r"[A-Z]+[^a-z\s]*").fullmatch
_CAPITAL_CHUNK = re.compile(r"[A-Z][^A-Z\s]*").fullmatch
_WORD = re.compile(r"\w+").fullmatch
_CHUNKS = re.compile(r"\S+|[^\S ]\s*").findall
_ALL_CHUNKS = re.compile(r"\S+|(?<!\S)\s+|[^\S ]\s*").findall
_REP_MARK = re.compile(rf"( |^|(?<=\s)){REP} (\d+) ?(\S)")
_WREP_MARK = re.compile(rf"(?<!\S){WREP} (\d+) ((?:{UP} |{MAJ} )?\w+)")
_UP_MARK = re.compile(rf"(?<!\S){UP} (\S+)")
_MAJ_MARK = re.compile(rf"(?<!\S){MAJ} (\S)")
_MOST = 10_000  # times that a mark is followed: a model may write any number
_KNOWN = 200_000  # chunks without repetition that a Chunker remembers at most
_LONG = 100  # chunks that are too long to remember


def fix_html(text: str) -> str:
    """Entities, line breaks and the marks of scraped corpora become characters: `&amp;`, `<br />`, ` @-@ `."""
    for found, meant in _HTML:
        text = text.replace(found, meant)
    return html.unescape(text)


def replace_rep(text: str) -> str:
    """A character three times or more: `cccc` becomes ` xxrep 4 c `."""
    return _REPEATED.sub(lambda m: f" {REP} {len(m[0])} {m[1]} ", text)


def replace_wrep(text: str) -> str:
    """A word three times or more: `no no no no` becomes ` xxwrep 4 no `."""
    return _WORDS_REPEATED.sub(lambda m: f" {WREP} {len(m[2].split()) + 2} {m[1]} {m[3]}", text)


def spec_add_spaces(text: str) -> str:
    """Spaces around `/`, `#` and `\\`."""
    return _MARKS.sub(r" \1 ", text)


def rm_useless_spaces(text: str) -> str:
    """One space for several."""
    return _SPACES.sub(" ", text)


def replace_all_caps(text: str) -> str:
    """Chunks in capitals: `GREAT` becomes `xxup great`; a single capital, only its lower case."""
    return _CAPITALS.sub(lambda m: f"{m[1]}{_marked(UP, m[2])}", text)


def replace_maj(text: str) -> str:
    """Chunks that begin with their only capital: `Great` becomes `xxmaj great`."""
    return _CAPITAL.sub(lambda m: f"{m[1]}{_marked(MAJ, m[2])}", text)


def apply_rules(text: str) -> str:
    """A text after all rules, in lower case, without white space at its ends."""
    for rule in (
        fix_html, replace_rep, replace_wrep, spec_add_spaces, rm_useless_spaces, replace_all_caps, replace_maj,
    ):  # fmt: skip
        text = rule(text)
    return text.lower().strip()


def _marked(token: str, chunk: str) -> str:
    return f"{token} {chunk.lower()}" if len(chunk) > 1 else chunk.lower()


def rule_chunk(chunk: str) -> list[str]:
    """A chunk of `Chunker` after `replace_all_caps`, `replace_maj` and in lower case: itself, or a mark and itself."""
    if _CAPITALS_CHUNK(chunk):
        return _marked(UP, chunk).split(" ")
    if _CAPITAL_CHUNK(chunk):
        return _marked(MAJ, chunk).split(" ")
    return [chunk.lower()]


class Chunker:
    """Cuts texts at white space, after those rules that look beyond a chunk and `spec_add_spaces`.

    Args:
        rules: whether rules apply at all.
        spaces: whether white space other than a single space between two chunks is a chunk too.
    """

    def __init__(self, rules: bool, spaces: bool) -> None:
        self.rules = rules
        self.spaces = spaces
        self._plain: set[str] = set()  # chunks without repetition

    def __call__(self, text: str) -> list[str]:
        if not self.rules:
            return _ALL_CHUNKS(text) if self.spaces else text.split()
        text = fix_html(text)
        chunks = self._split(text)
        if self._repeats(text, chunks):
            text = replace_rep(text)
            chunks = self._split(text)
        if _words_repeat(chunks, 1) or (self.spaces and _words_repeat(chunks, 2)):
            chunks = self._split(replace_wrep(text))
        return chunks

    def _split(self, text: str) -> list[str]:
        """Chunks after `spec_add_spaces`. `rm_useless_spaces` is for chunks of white space alone."""
        for mark in "/#\\":
            text = text.replace(mark, f" {mark} ")
        return _CHUNKS(text.strip()) if self.spaces else text.split()

    def _repeats(self, text: str, chunks: list[str]) -> bool:
        """Whether `replace_rep` changes a text with these chunks."""
        new = set(chunks).difference(self._plain)
        if any(map(_REPEATED.search, new)) or "///" in text or "###" in text or "\\\\\\" in text:
            return True
        if len(self._plain) + len(new) > _KNOWN:
            self._plain.clear()
        self._plain.update(chunk for chunk in new if len(chunk) < _LONG)
        return False


def _words_repeat(chunks: list[str], gap: int) -> bool:
    """Whether `replace_wrep` may change a text with these chunks: where two equal words, `gap` chunks apart with
    nothing but white space between them, are followed by one that begins like them."""
    for i in compress(range(len(chunks)), map(eq, chunks, islice(chunks, gap, None))):
        if (gap == 1 or chunks[i + 1].isspace()) and _WORD(chunks[i]):
            after = [chunk for chunk in chunks[i + gap + 1 : i + gap + 3] if not chunk.isspace()]
            if after and after[0].startswith(chunks[i]):
                return True
    return False


def undo_rules(text: str) -> str:
    """A text with repetitions and capitals in the place of the rules' marks, as far as marks tell."""
    text = _REP_MARK.sub(_repeat, text)
    text = _WREP_MARK.sub(lambda m: " ".join([m[2]] * min(int(m[1]), _MOST)), text)
    text = _UP_MARK.sub(lambda m: m[1].upper(), text)
    return _MAJ_MARK.sub(lambda m: m[1].upper(), text)


def _repeat(match: re.Match[str]) -> str:
    space, count, character = match.groups()
    return (space if character.isalnum() else "") + character * min(int(count), _MOST)
