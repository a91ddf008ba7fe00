"""What a place asks for, taken from its type: which kinds of components, what items of a list, which words."""

from __future__ import annotations

from functools import lru_cache

from mfc.dsl.types import STANDS_FOR, Choice, Kind, ListOf, Number, Type, Union


def members(want: Type) -> tuple[Type, ...]:
    """The types that a union consists of; of any other type, itself."""
    return want.members if isinstance(want, Union) else (want,)


@lru_cache(1024)
def kinds(want: Type) -> tuple[str, ...]:
    """The kinds of components that are accepted, the one that is meant first."""
    named = [member.name for member in members(want) if isinstance(member, Kind)]
    return tuple(dict.fromkeys([*named, *(other for name in named for other in STANDS_FOR.get(name, ()))]))


@lru_cache(1024)
def item(want: Type) -> Type | None:
    """The type of the items where a list is accepted."""
    return next((member.item for member in members(want) if isinstance(member, ListOf)), None)


def words(want: Type) -> tuple[str, ...]:
    """The choices that may be written as bare names."""
    choices = [v for member in members(want) if isinstance(member, Choice) for v in member.values]
    return tuple(v for v in choices if isinstance(v, str))


@lru_cache(1024)
def numeric(want: Type) -> bool:
    """Whether numbers are wanted that need not be whole."""
    numbers = [member for member in members(want) if isinstance(member, Number)]
    return bool(numbers) and not any(number.integer for number in numbers)
