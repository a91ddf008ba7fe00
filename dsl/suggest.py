"""Near names: what a misspelt word was probably meant to be."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

LONGEST = 50
"""Letters of the longest word that is looked for."""

MOST = 300
"""Names of about the same length and letters that a word is compared with."""


def distance(a: str, b: str, limit: int) -> int:
    """Edits between two words: insertions, deletions, changes, swaps of neighbours (string alignment).

    At most `limit + 1`, which stands for all that is further apart than `limit`.
    """
    if abs(len(a) - len(b)) > limit:
        return limit + 1
    before, last, now = [], list(range(len(b) + 1)), []
    for i, x in enumerate(a, 1):
        now = [i]
        for j, y in enumerate(b, 1):
            best = min(last[j] + 1, now[j - 1] + 1, last[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and y == a[i - 2]:
                best = min(best, before[j - 2] + 1)
            now.append(best)
        if min(now) > limit:
            return limit + 1
        before, last = last, now
    return min(last[-1], limit + 1)


def near(word: str, names: Iterable[str]) -> list[str]:
    """The names that `word` may be a slip of, the nearest first: at most one edit in three letters.

    Case and underscores count for nothing, so that `RandomCrop` finds `random_crop`. No more than `MOST` names are
    compared, the first of them: the text may be anyone's.
    """
    letters = plain(word)
    if len(letters) > LONGEST:
        return []
    limit = max(1, len(letters) // 3) if len(letters) > 1 else 0
    likely = (name for name in dict.fromkeys(names) if _may_be(letters, plain(name), limit))
    found = []
    for name in islice(likely, MOST):
        edits = distance(letters, plain(name), limit)
        if edits <= limit and name != word:
            found.append((edits, name[:1] != word[:1], name))
    return [name for _, _, name in sorted(found)]


def _may_be(a: str, b: str, limit: int) -> bool:
    """Whether two words may be as near, by their lengths and letters: each edit brings in one letter, or takes one out."""
    if abs(len(a) - len(b)) > limit:
        return False
    mine, others = set(a), set(b)
    return len(mine - others) <= limit and len(others - mine) <= limit


def plain(word: str) -> str:
    """A word without what counts for nothing: case and underscores."""
    return word.replace("_", "").lower()


class Hint(str):
    """A hint that says what to write for a word: `instead`."""

    word: str
    instead: str


def hint(text: str, word: str, instead: str) -> Hint:
    """A hint with what it says to write."""
    made = Hint(text)
    made.word, made.instead = word, instead
    return made


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """A hint with the nearest name; empty where none is near."""
    found = near(word, names)
    return hint(f"did you mean `{found[0]}`?", word, found[0]) if found else ""
