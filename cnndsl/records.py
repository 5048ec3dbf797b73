"""Slotted dataclasses that are cheap to define.

`dataclasses.dataclass` writes and compiles an `__init__`, `__eq__`, `__hash__`, `__repr__`
and two guards for each class: a millisecond, times more than a hundred operations, syntax
nodes and parts of a network, would be the larger half of `cnndsl check`. A `Record`
inherits these methods, and its `__init__` is compiled when the first of it is made; the
fields, `replace`, `fields` and pattern matching stay those of `dataclasses`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from operator import attrgetter
from typing import Any, ClassVar, TypeVar, dataclass_transform, overload

MISSING = dataclasses.MISSING


class Record:
    """The methods that records share: made, compared and shown by their fields."""

    __slots__ = ()
    names_: ClassVar[tuple[str, ...]] = ()
    values_: ClassVar[Callable[[Any], Any]]
    """The fields of one; of a class with a single field, its value alone."""

    def __init__(self, *values: Any, **named: Any) -> None:
        """Take the fields in order, or by name.

        Raises TypeError: a field is missing, unknown or given twice.
        """
        cls = type(self)
        cls.__init__ = _initializer(cls)  # type: ignore[method-assign]
        cls.__init__(self, *values, **named)

    def __eq__(self, other: object) -> bool:
        """The same class and equal fields."""
        if type(self) is not type(other):
            return NotImplemented
        values = type(self).values_
        return bool(values(self) == values(other))

    def __hash__(self) -> int:
        """Equal records hash alike."""
        return hash((type(self), type(self).values_(self)))

    def __repr__(self) -> str:
        """`Conv(out=64, kernel=(3, 3))`."""
        shown = (
            f"{field.name}={getattr(self, field.name)!r}"
            for field in dataclasses.fields(self)  # type: ignore[arg-type]
            if field.repr
        )
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


def _initializer(cls: type[Any]) -> Callable[..., None]:
    """An `__init__` of the fields of a class, as `dataclass` would write it."""
    known: dict[str, Any] = {"put": object.__setattr__, "MISSING": MISSING}
    head, body = ["self"], []
    for field in dataclasses.fields(cls):
        name, value = field.name, field.name
        if field.default is not MISSING:
            known[f"default_{name}"] = field.default
            head.append(f"{name}=default_{name}")
        elif field.default_factory is not MISSING:
            known[f"make_{name}"] = field.default_factory
            head.append(f"{name}=MISSING")
            value = f"make_{name}() if {name} is MISSING else {name}"
        else:
            head.append(name)
        body.append(f" put(self, {name!r}, {value})")
    source = "\n".join([f"def __init__({', '.join(head)}):", *body, " return"])
    exec(source, known)
    made: Callable[..., None] = known["__init__"]
    made.__qualname__ = f"{cls.__qualname__}.__init__"
    return made


T = TypeVar("T", bound=type[Any])


@overload
def record(cls: T) -> T: ...
@overload
def record(*, frozen: bool = True) -> Callable[[T], T]: ...
@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def record(cls: T | None = None, *, frozen: bool = True) -> T | Callable[[T], T]:
    """Make a subclass of `Record` one, with its annotations as the fields."""

    def make(cls: T) -> T:
        made: T = dataclasses.dataclass(init=False, repr=False, eq=False, slots=True)(cls)  # type: ignore[assignment]
        names = made.names_ = tuple(field.name for field in dataclasses.fields(made))
        made.values_ = attrgetter(*names) if names else lambda self: ()
        # Its own, since a class above may have compiled one for fewer fields.
        made.__init__ = Record.__init__
        if not frozen:
            made.__setattr__ = object.__setattr__  # type: ignore[assignment]
        return made

    return make if cls is None else make(cls)
