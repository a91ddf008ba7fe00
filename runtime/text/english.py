"""English words: how a run of characters without white space is cut into tokens.

The rules are those of spaCy 3's blank English tokenizer (Honnibal and Montani; MIT licence), which fastai's word
tokenizer uses: https://spacy.io/usage/linguistic-features#how-tokenizer-works. In turn, until nothing changes:

1. A chunk that is an exception (`don't`, `e.g.`, `:-)`) has the tokens that the exception says.
2. Punctuation, quotes, currency and symbols are cut off in front (`PREFIX`) and behind (`SUFFIX`; behind digits
   units too, and a full stop that does not follow a single capital).
3. What is left is one token where it is a web address, else it is cut at hyphens between letters, at ellipses and
   the like (`INFIX`).
4. Tokens that together spell an exception with punctuation in it become the exception's.

One difference: spaCy looks for 4. over the whole text, and where tokens that are apart by white space would spell an
exception, it takes none, but does not try a shorter one within them either: in `(see:( (` it leaves `:` and `(`
apart, since `:(` and `(` spell `:((` but for the space. Here a chunk's tokens depend on the chunk alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from mfc.runtime.text.characters import (
    CURRENCY,
    LETTERS,
    LOWER,
    PUNCTUATION,
    QUOTES,
    SYMBOLS,
    UNITS,
    UPPER,
)  # fmt: skip

_MARKS = re.escape(PUNCTUATION + QUOTES) + SYMBOLS
_BEFORE_STOP = f"0-9{LOWER}{re.escape('%²-+|(?:)' + PUNCTUATION + QUOTES)}"
PREFIX = re.compile(rf"[§%=—–{_MARKS}{re.escape(CURRENCY)}]|\+(?![0-9])|\.\.+|(?:US|C|A)\$")
SUFFIX = re.compile(
    rf"""(?:[—–{_MARKS}]|……|['’][sS]
    |(?<=[0-9])(?:\+|[{re.escape(CURRENCY)}]|(?:US|C|A)\$|{"|".join(map(re.escape, UNITS))})
    |(?<=°[FfCcKk])\.|(?<=[{_BEFORE_STOP}])\.|(?<=[{UPPER}][{UPPER}])\.)\Z""",
    re.VERBOSE,
)
"""A run of full stops is a suffix too; `_suffix_length` looks for it."""
INFIX = re.compile(
    rf"""\.\.+|…|[{SYMBOLS}]|(?<=[0-9])[+\-*^](?=[0-9-])
    |(?<=[{LOWER}{re.escape(QUOTES)}])\.(?=[{UPPER}{re.escape(QUOTES)}])
    |(?<=[{LETTERS}]),(?=[{LETTERS}])
    |(?<=[{LETTERS}0-9])(?:-{{1,3}}|–|—{{1,2}}|~|[:<>=/])(?=[{LETTERS}])""",
    re.VERBOSE,
)
ADDRESS = re.compile(
    rf"""(?:[\w+.-]{{2,}}://)?                     # protocol
    (?:\S+@)?                                      # user
    (?:(?!(?:10|127)(?:\.\d{{1,3}}){{3}})          # no private network
       (?!(?:169\.254|192\.168)(?:\.\d{{1,3}}){{2}})
       (?!172\.(?:1[6-9]|2\d|3[01])(?:\.\d{{1,3}}){{2}})
       (?:[1-9]\d?|1\d\d|2[01]\d|22[0-3])          # four numbers
       (?:\.(?:1?\d{{1,2}}|2[0-4]\d|25[0-5])){{2}}
       \.(?:[1-9]\d?|1\d\d|2[0-4]\d|25[0-4])
      |(?:[A-Za-z0-9\u00a1-\uffff](?:[A-Za-z0-9\u00a1-\uffff_-]{{0,62}}[A-Za-z0-9\u00a1-\uffff])?\.)+
       [{LOWER}]{{2,63}})                          # or a name, and its domain in lower case
    (?::\d{{2,5}})?(?:[/?\#]\S*)?""",
    re.VERBOSE,
)
_TAIL = 16  # longer than any suffix and what it looks back at
_LONGEST = 24  # longer than any exception


def split_chunk(chunk: str) -> list[str]:
    """The tokens of a run of characters without white space; joined they are the run. Linear in its length."""
    special = _exceptions().get(chunk)
    if special:
        return list(special)
    if _plain_letters(chunk):
        return [chunk]
    return _join_exceptions(_cut(chunk, _exceptions()))


def _cut(chunk: str, exceptions: dict[str, tuple[str, ...]]) -> list[str]:
    """The tokens after the steps 1 to 3."""
    start, end = 0, len(chunk)
    before: list[str] = []
    after: list[str] = []
    while start < end:
        if end - start < _LONGEST and chunk[start:end] in exceptions:
            break
        match = PREFIX.match(chunk, start, end)
        inner = match.end() if match else start
        if match and end - inner < _LONGEST and chunk[inner:end] in exceptions:
            before.append(match[0])
            start = inner
            break
        outer = end - _suffix_length(chunk, inner, end)
        if outer < end and outer - start < _LONGEST and chunk[start:outer] in exceptions:
            after.append(chunk[outer:end])
            end = outer
            break
        if inner == start and outer == end:
            break
        if inner > start:
            before.append(chunk[start:inner])
        if outer < end:
            after.append(chunk[outer:end])
        start, end = inner, outer
    rest = chunk[start:end]
    if rest in exceptions:
        before += exceptions[rest]
    elif _plain_letters(rest) or ("." in rest and ADDRESS.fullmatch(rest)):
        before.append(rest)
    elif rest:
        before += _cut_inside(rest)
    return before + after[::-1]


def _plain_letters(text: str) -> bool:
    return text.isascii() and text.isalpha()


def _suffix_length(chunk: str, start: int, end: int) -> int:
    """How many characters of `chunk[start:end]` are to be cut off behind."""
    if chunk.endswith("..", start, end):
        first = end - 2
        while first > start and chunk[first - 1] == ".":
            first -= 1
        return end - first
    tail = chunk[max(start, end - _TAIL) : end]
    if _plain_letters(tail):  # saves the time of the search
        return 0
    match = SUFFIX.search(tail)
    return len(match[0]) if match else 0


def _cut_inside(text: str) -> Iterator[str]:
    start = 0
    for match in INFIX.finditer(text):
        if match.start() == 0:
            continue
        if match.start() > start:
            yield text[start : match.start()]
        yield match[0]
        start = match.end()
    if start < len(text):
        yield text[start:]


def _join_exceptions(tokens: list[str]) -> list[str]:
    """Step 4: the longest exceptions first, of equal length the first ones; those that overlap are left."""
    firsts, parted, longest = _parted()
    if firsts.isdisjoint(tokens):
        return tokens
    found = [
        (i, i + n)
        for n in range(min(longest, len(tokens)), 0, -1)
        for i, token in enumerate(tokens[: len(tokens) - n + 1])
        if token in firsts and tuple(tokens[i : i + n]) in parted
    ]
    taken: set[int] = set()
    replaced: dict[int, int] = {}
    for start, end in found:
        if start not in taken and end - 1 not in taken:
            replaced[start] = end
        taken.update(range(start, end))
    out: list[str] = []
    i = 0
    while i < len(tokens):
        end = replaced.get(i)
        out += parted[tuple(tokens[i:end])] if end else tokens[i : i + 1]
        i = end or i + 1
    return out


@cache
def _parted() -> tuple[set[str], dict[tuple[str, ...], tuple[str, ...]], int]:
    """Exceptions with punctuation in them by the tokens that they are cut into without exceptions: first tokens,
    all of them, and how many tokens they have at most."""
    parted = {}
    for text, tokens in _exceptions().items():
        if PREFIX.match(text) or _suffix_length(text, 0, len(text)) or INFIX.search(text):
            parted[tuple(_cut(text, {}))] = tokens
    return {tokens[0] for tokens in parted}, parted, max(map(len, parted))


# ── exceptions ──────────────────────────────────────────────────────────────────────────────────────────────

_PERSONS = ("i", "you", "he", "she", "it", "we", "they")
_QUESTIONS = ("who", "what", "when", "where", "why", "how", "there", "that", "this", "these", "those")
_CONTRACTED = (
    (("i",), "'m 'm|a"),
    (_PERSONS, "'ll 'll|'ve 'd 'd|'ve"),
    (("i", "you", "we", "they"), "'ve"),
    (("you", "we", "they"), "'re"),
    (("he", "she", "it"), "'s"),
    (_QUESTIONS, "'ll 'll|'ve 'd 'd|'ve"),
    (_QUESTIONS[:9], "'s"),
    ((*_QUESTIONS[:7], "these", "those"), "'re 've"),
    (
        ("ca", "could", "do", "does", "did", "had", "may", "might", "must", "need", "ought", "sha", "should", "wo",
         "would"),
        "n't n't|'ve",
    ),
    (("could", "might", "must", "should", "would"), "'ve"),
    (("ai", "are", "is", "was", "were", "have", "has", "dare"), "n't"),
)  # fmt: skip
"""Words with what may follow them, with the apostrophe or without; each also with a capital."""
_WORDS = (
    "ill its hell shell shed were well whore"  # contractions without their apostrophe, but words of their own
)
_CUT = "how|'d|'y not|'ve not|ve can|not gon|na got|ta let|'s c'm|on"  # each also with a capital
_CUT_ONCE = "y'|all y|all"
_WHOLE = """
doin goin nothin nuthin ol somethin doin' goin' nothin' nuthin' ol' somethin' lovin lovin' havin havin' 'cause 'cos
'coz 'cuz ma'am o'clock
"""  # each also with a capital
_WHOLE_ONCE = """
em ll nuff 'em 'll 'nuff 's 'S ‘s ‘S and/or w/o 're 'bout Mt. Ak. Ala. Apr. Ariz. Ark. Aug. Calif. Colo. Conn. Dec.
Del. Feb. Fla. Ga. Ia. Id. Ill. Ind. Jan. Jul. Jun. Kan. Kans. Ky. La. Mar. Mass. Mich. Minn. Miss. N.C. N.D. N.H.
N.J. N.M. N.Y. Neb. Nebr. Nev. Nov. Oct. Okla. Ore. Pa. S.C. Sep. Sept. Tenn. Va. Wash. Wis. 'd a.m. Adm. Bros. co.
Co. Corp. D.C. Dr. e.g. E.g. E.G. Gen. Gov. i.e. I.e. I.E. Inc. Jr. Ltd. Md. Messrs. Mo. Mont. Mr. Mrs. Ms. p.m.
Ph.D. Prof. Rep. Rev. Sen. St. vs. v.s. ' '' \\") \\t \\n — <space> C++ a. b. c. d. e. f. g. h. i. j. k. l. m. n. o. p.
q. r. s. t. u. v. w. x. y. z. ä. ö. ü.
"""
_FACES = r"""
:) :-) :)) :-)) :))) :-))) (: (-: =) (= :] :-] [: [-: [= =] :o) (o: :} :-} 8) 8-) (-8 ;) ;-) (; (-; :( :-( :(( :-((
:((( :-((( ): )-: =( >:( :') :'-) :'( :'-( :/ :-/ =/ =| :| :-| ]= =[ :1 :P :-P :p :-p :O :-O :o :-o :0 :-0 :() >:o
:* :-* :3 :-3 =3 :> :-> :X :-X :x :-x :D :-D ;D ;-D =D xD XD xDD XDD 8D 8-D ^_^ ^__^ ^___^ >.< >.> <.< ._. ;_; -_-
-__- v.v V.V v_v V_V o_o o_O O_o O_O 0_o o_0 0_0 o.O O.o O.O o.o 0.0 o.0 0.o @_@ <3 <33 <333 </3 (^_^) (-_-) (._.)
(>_<) (*_*) (¬_¬) ಠ_ಠ ಠ︵ಠ (ಠ_ಠ) ¯\(ツ)/¯ (╯°□°）╯︵┻━┻ ><(((*>
"""


@cache
def _exceptions() -> dict[str, tuple[str, ...]]:
    """Chunks that have tokens of their own, and those tokens."""
    found = [(text,) for text in (_WHOLE_ONCE + _FACES).split()]
    found += [case(text) for text in _WHOLE.split() for case in (_plain, _capital)]
    found += [case(text) for text in _CUT.split() for case in (_plain, _capital)]
    found += [_plain(text) for text in _CUT_ONCE.split()]
    found += [(f"{hour}", period) for hour in range(1, 13) for period in ("a.m.", "am", "p.m.", "pm")]
    found += [("°", unit, ".") for unit in "cfkCFK"]
    for words, endings in _CONTRACTED:
        for text in (f"{word}|{ending}" for word in words for ending in endings.split()):
            found += [
                _plain(text),
                _capital(text),
                _plain(text.replace("'", "")),
                _capital(text.replace("'", "")),
            ]
    exceptions = {"".join(tokens): tokens for tokens in found}
    for word in _WORDS.split():
        exceptions.pop(word)
        exceptions.pop(word.capitalize())
    curly = {text.replace("'", "’"): tokens for text, tokens in exceptions.items()}
    return {text: tuple(t.replace("'", "’") for t in tokens) for text, tokens in curly.items()} | exceptions


def _plain(text: str) -> tuple[str, ...]:
    return tuple(text.split("|"))


def _capital(text: str) -> tuple[str, ...]:
    """With the first letter of the first word, or the one behind its apostrophe, in upper case."""
    at = 1 if text.startswith("'") else 0
    return _plain(text[:at] + text[at : at + 1].upper() + text[at + 1 :])
