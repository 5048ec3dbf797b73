"""Sets of layers as bit masks, the lowest bit for the first layer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def bits(mask: int) -> Iterator[int]:
    """The numbers in a set, ascending."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def union(members: Iterable[int]) -> int:
    """The set of some numbers."""
    mask = 0
    for member in members:
        mask |= 1 << member
    return mask


def all_of(sets: Iterable[int]) -> int:
    """What is in any of some sets."""
    whole = 0
    for members in sets:
        whole |= members
    return whole


def disjoint(sets: Iterable[int], taken: int = 0) -> bool:
    """Whether no two of some sets share a number, nor one of them with `taken`."""
    for members in sets:
        if members & taken:
            return False
        taken |= members
    return True


def several(masks: Iterable[int]) -> tuple[int, ...]:
    """Each set of two and more once."""
    return tuple(dict.fromkeys(mask for mask in masks if mask & (mask - 1)))


def lowest(mask: int) -> int:
    """The set of a set's smallest number."""
    return mask & -mask


def first(mask: int) -> int:
    """The smallest number."""
    return lowest(mask).bit_length() - 1


def last(mask: int) -> int:
    """The largest number."""
    return mask.bit_length() - 1
