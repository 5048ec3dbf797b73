"""What a network is at every input size: closed forms, and which sizes it accepts."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

from cnndsl.analysis.accepts import Acceptance
from cnndsl.analysis.closed import ClosedForms, closed_forms
from cnndsl.analysis.forms import spell_decided
from cnndsl.analysis.pieces import Blame, Piece
from cnndsl.analysis.propagate import propagate
from cnndsl.analysis.valid import Valid
from cnndsl.graph import Network
from cnndsl.symbolic import Axis


@dataclass(frozen=True, slots=True)
class Sizes:
    """The answer of `cnndsl sizes`; printed, it is that answer."""

    name: str
    forms: ClosedForms
    valid: dict[str, Valid]
    """The sizes of each axis that fit, the others as the network was built."""
    coupled: tuple[str, ...]
    """Axes that do not fit independently: what fits one depends on the others."""
    rules: Acceptance = field(repr=False)

    @property
    def pieces(self) -> dict[str, ClosedForms]:
        """The forms by the sizes at which they hold, the network's own first.

        One entry, under an empty string, where no size decides anything. Where a size of 1
        repeats an operand, and the network's own forms say what that gives, they stand for it.
        """
        first, *others = self.rules.pieces
        apart = [(first, self.forms)]
        for piece in others:
            forms = closed_forms(piece.found.network, piece.found)
            if piece.decides(first) or not self._covers(piece, forms):
                apart.append((piece, forms))
        names = self.rules.names
        several = [one for one, _ in apart if not one.decides(first)]
        found = {}
        for piece, forms in apart:
            where = [spell_decided(one, names) for one in piece.branches]
            if len(several) > 1 and piece in several:
                where += piece.repeats(names)
            found[" and ".join(where)] = forms
        return found

    def _covers(self, piece: Piece, forms: ClosedForms) -> bool:
        """Whether the network's own forms give another's figures, at all sizes tried."""
        for times in (1, 2, 3):
            sizes = {name: n * times if n > 1 else n for name, n in piece.found.sizes.items()}
            if not piece.holds(piece.found.bound(sizes)):
                continue
            if self.forms.at(**sizes) != forms.at(**sizes):
                return False
        return True

    def at(self, /, **sizes: int) -> dict[str, object]:
        """The figures of the network that the file gives at these sizes.

        Sizes not given are the network's own.  Raises LookupError: it gives none there.
        """
        piece = self.rules.piece(sizes)
        if not isinstance(piece, Blame):
            blame = piece.blame(self.rules.found.bound(sizes), weights=False)
            if blame is None:
                own = piece is self.rules.pieces[0]
                forms = self.forms if own else closed_forms(piece.found.network, piece.found)
                return forms.at(**{**self.rules.sizes, **sizes})
            piece = blame
        raise LookupError(str(piece))

    def accepts(self, /, **sizes: int) -> bool:
        """Whether a forward pass at these sizes succeeds, the others as it was built."""
        return self.rules.accepts(sizes)

    def blame(self, /, **sizes: int) -> Blame | None:
        """The first layer that refuses these sizes, and why; None where all accept them."""
        return self.rules.blame(sizes)

    @property
    def smallest(self) -> dict[str, int | None]:
        """The least size of each axis."""
        return {name: valid.smallest for name, valid in self.valid.items()}

    def nearest(self, /, **sizes: int) -> dict[str, int | None]:
        """For each size given, the nearest that fits."""
        return {name: self.valid[name].nearest(size) for name, size in sizes.items()}

    def words(self) -> str:
        """The predicate: `H and W divisible by 16, at least 32`."""
        said: dict[str, list[str]] = {}
        for name, valid in self.valid.items():
            said.setdefault(valid.words().removeprefix(name).strip(), []).append(name)
        parts = [f"{_listed(names)} {rule}" for rule, names in said.items()]
        return "; ".join(parts) if parts else "the sizes are fixed"

    def refused(self) -> dict[str, tuple[int, Blame]]:
        """For each axis, the size nearest to the network's own that does not fit, and why."""
        found = {}
        for name, valid in self.valid.items():
            own = self.forms.sizes[name]
            size = valid.nearest_refused(own)
            blame = None if size is None else self.rules.blame({name: size})
            if size is not None and blame is not None:
                found[name] = (size, blame)
        return found

    def rows(self) -> list[dict[str, object]]:
        """One row an axis, for a data frame."""
        return [
            {"size": name, "valid": valid.words(), "smallest": valid.smallest}
            for name, valid in self.valid.items()
        ]

    def __str__(self) -> str:
        """What `cnndsl sizes` prints."""
        lines = [self.name]
        alike: dict[str, list[str]] = {}
        for where, forms in self.pieces.items():
            alike.setdefault(str(forms), []).append(where)
        for said, (first, *others) in alike.items():
            # Where all have one form, only the accepted sizes differ.
            if first and len(alike) > 1:
                lines += [f"where {first}", *(f"or    {where}" for where in others)]
            lines += [said, ""]
        lines.append(f"accepts    {self.words()}")
        if not self.rules.complete:
            lines.append(
                "           and perhaps others: a size decides more networks than were tried"
            )
        if self.coupled:
            lines.append(f"           {_listed(list(self.coupled))} depend on each other")
        smallest = [f"{name}={size}" for name, size in self.smallest.items()]
        lines += [f"smallest   {', '.join(smallest)}"] if smallest else []
        for name, (size, blame) in self.refused().items():
            lines.append(f"refuses    {name}={size}: {blame}")
        return "\n".join(lines)


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def sizes(network: Network) -> Sizes:
    """Closed forms and valid input sizes of a network."""
    found = propagate(network)
    rules = Acceptance(found)
    axes = [name for atom, name in found.names.items() if isinstance(atom, Axis)]
    valid: dict[str, Valid] = {}
    for name in axes:
        twin = next((known for known in valid if rules.alike(known, name)), None)
        valid[name] = replace(valid[twin], name=name) if twin else rules.valid(name)
    coupled = _coupled(rules, valid)
    return Sizes(network.name, closed_forms(network, found), valid, coupled, rules)


def _coupled(rules: Acceptance, valid: dict[str, Valid], tries: int = 16) -> tuple[str, ...]:
    """The axes where sizes that fit one by one do not fit together, as far as is seen."""
    if len(valid) < 2:
        return ()
    chance = random.Random(0)
    spans = {name: max(2 * rules.sizes[name], 64) for name in valid}
    for _ in range(tries):
        chosen = {name: chance.randint(1, span) for name, span in spans.items()}
        apart = all(size in valid[name] for name, size in chosen.items())
        if apart != rules.fits(chosen):
            return tuple(valid)
    return ()
