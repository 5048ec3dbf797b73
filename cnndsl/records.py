"""Frozen, slotted dataclasses that are cheap to define.

`dataclasses.dataclass` writes and compiles an `__init__`, `__eq__`, `__hash__`, `__repr__`
and two guards for each class: a millisecond or two, times more than a hundred operations
and syntax nodes, would be the larger half of `cnndsl check`. A `Record` inherits these
methods; the fields, `replace`, `fields` and pattern matching stay those of `dataclasses`.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, TypeVar, dataclass_transform

MISSING = dataclasses.MISSING


class Record:
    """The methods that records share: made, compared and shown by their fields."""

    __slots__ = ()
    names_: ClassVar[tuple[str, ...]] = ()
    defaults_: ClassVar[dict[str, Any]] = {}

    def __init__(self, *values: Any, **named: Any) -> None:
        """Take the fields in order, or by name.

        Raises TypeError: a field is missing, unknown or given twice.
        """
        names = self.names_
        put = object.__setattr__
        if len(values) > len(names):
            raise TypeError(f"{type(self).__name__} takes {len(names)} values")
        for name, value in zip(names, values, strict=False):
            put(self, name, value)
        for name in names[len(values) :]:
            value = named.pop(name, MISSING) if named else MISSING
            if value is MISSING:
                value = self.defaults_.get(name, MISSING)
                if value is MISSING:
                    raise TypeError(f"{type(self).__name__} needs `{name}`")
            put(self, name, value)
        if named:
            raise TypeError(f"{type(self).__name__} has no {', '.join(named)} left to give")

    def __eq__(self, other: object) -> bool:
        """The same class and equal fields."""
        if type(self) is not type(other):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.names_)

    def __hash__(self) -> int:
        """Equal records hash alike."""
        return hash((type(self), *(getattr(self, name) for name in self.names_)))

    def __repr__(self) -> str:
        """`Conv(out=64, kernel=(3, 3))`."""
        shown = (f"{name}={getattr(self, name)!r}" for name in self.names_)
        return f"{type(self).__qualname__}({', '.join(shown)})"

    def __setattr__(self, name: str, value: object) -> None:
        """Records do not change.  Raises FrozenInstanceError."""
        raise dataclasses.FrozenInstanceError(f"cannot assign to `{name}`")

    def __delattr__(self, name: str) -> None:
        """Records do not change.  Raises FrozenInstanceError."""
        raise dataclasses.FrozenInstanceError(f"cannot delete `{name}`")

    def __getstate__(self) -> tuple[Any, ...]:
        """The fields, for pickling and copying."""
        return tuple(getattr(self, name) for name in self.names_)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """The fields, from a pickle or a copy."""
        for name, value in zip(self.names_, state, strict=True):
            object.__setattr__(self, name, value)


T = TypeVar("T", bound=type[Any])


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def record(cls: T) -> T:
    """Make a subclass of `Record` one, with its annotations as the fields."""
    made: T = dataclasses.dataclass(init=False, repr=False, eq=False, slots=True)(cls)  # type: ignore[assignment]
    fields = dataclasses.fields(made)
    made.names_ = tuple(field.name for field in fields)
    made.defaults_ = {f.name: f.default for f in fields if f.default is not MISSING}
    return made
