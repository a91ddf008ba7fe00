"""What operators do to values that are known, within limits that keep numbers, strings and lists small."""

from __future__ import annotations

import operator
from typing import Any

from mfc.dsl.dims import Dim, compare
from mfc.dsl.scope import MAX_STRING, make_list
from mfc.dsl.types import BOOL, Unknown

COMPARISONS = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
ARITHMETIC = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "//": operator.floordiv,
    "%": operator.mod,
}  # fmt: skip
LARGEST_EXPONENT = 64
LARGEST = 2**63 - 1


def operate(op: str, left: Any, right: Any) -> Any:
    """The result of `left op right`, an Unknown where it depends on what is not known yet.

    Raises:
        TypeError: the two don't go together.
        ZeroDivisionError: division by zero.
        OverflowError: the result would be larger than a spec may hold; the message says what is allowed.
        mfc.dsl.dims.TooLarge: the same for a size.
    """
    if op == "in":
        return _contains(right, left)
    if op in ("==", "!="):
        same = equal(left, right)
        return Unknown(BOOL) if same is None else same is (op == "==")
    if op in COMPARISONS:
        return _compare(op, left, right)
    if isinstance(left, str) and isinstance(right, str):
        return _text(op, left, right)
    if isinstance(left, list) and isinstance(right, list) and op == "+":
        return make_list([*left, *right])
    return _arithmetic(op, left, right)


def equal(left: Any, right: Any) -> bool | None:
    """Whether two values are equal; None where that can't be known yet."""
    if isinstance(left, Unknown) or isinstance(right, Unknown):
        return None
    if (
        isinstance(left, Dim | int)
        and isinstance(right, Dim | int)
        and (isinstance(left, Dim) or isinstance(right, Dim))
    ):
        return compare("==", left, right)
    if isinstance(left, bool) != isinstance(right, bool):
        return False
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        items = [equal(a, b) for a, b in zip(left, right)]
        return False if False in items else None if None in items else True
    return left == right


def _arithmetic(op: str, left: Any, right: Any) -> Any:
    if not (_is_number(left) and _is_number(right)):
        raise TypeError
    if op == "**":
        if isinstance(left, Dim) or isinstance(right, Dim) or abs(right) > LARGEST_EXPONENT:
            raise OverflowError(f"an exponent is a known number in -{LARGEST_EXPONENT}..{LARGEST_EXPONENT}")
        return _bounded(left**right)
    return _bounded(ARITHMETIC[op](left, right))


def _contains(items: Any, value: Any) -> Any:
    if not isinstance(items, list):
        raise TypeError
    found = [equal(value, item) for item in items]
    return True if True in found else Unknown(BOOL) if None in found else False


def _compare(op: str, left: Any, right: Any) -> Any:
    if isinstance(left, str) and isinstance(right, str):
        return COMPARISONS[op](left, right)
    if not (_is_number(left) and _is_number(right)):
        raise TypeError
    return _compare_numbers(op, left, right)


def _compare_numbers(op: str, left: Any, right: Any) -> Any:
    if isinstance(left, Dim) or isinstance(right, Dim):
        known = compare(op, left, right)
        return Unknown(BOOL) if known is None else known
    return COMPARISONS[op](left, right)


def _text(op: str, left: str, right: str) -> str:
    if op not in ("+", "/"):
        raise TypeError
    if len(left) + len(right) >= MAX_STRING:
        raise OverflowError(f"a string can have {MAX_STRING:,} characters at most")
    return left + right if op == "+" else f"{left.rstrip('/')}/{right}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Dim) and not isinstance(value, bool)


def _bounded(number: Any) -> Any:
    if isinstance(number, complex) or (isinstance(number, int) and abs(number) > LARGEST):
        raise OverflowError("the result is too large")
    return number
