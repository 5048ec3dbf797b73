"""A long tower goes on in a column beside itself."""

from __future__ import annotations

from cnndsl.figures.layout.cards import behind
from cnndsl.figures.layout.piece import Ends, Line, Piece, tidy

TALLEST = 820.0
"""A tower is broken where it is higher than this and more than twice as high as wide."""
BESIDE = 74.0
"""Between columns: room for the edge, and for the names of the lanes."""


def wrapped(piece: Piece, insets: float) -> Piece:
    """The same in columns, cut where one edge alone leads on; `insets` is their area."""
    count = 1 if piece.laned else _count(piece, insets)
    cuts = _cuts(piece) if count > 1 else []
    if not cuts:
        return piece
    wanted = [piece.height * n / count for n in range(1, count)]
    chosen: list[tuple[float, Ends]] = []
    for at in wanted:
        best = min(cuts, key=lambda cut: abs(cut[0] - at))
        if abs(best[0] - at) < piece.height / count / 2 and best not in chosen:
            chosen.append(best)
    return _broken(piece, chosen) if chosen else piece


def _count(piece: Piece, insets: float) -> int:
    """So many columns that the picture is about as wide as it is high."""
    for count in range(1, 8):
        height = piece.height / count
        width = count * (piece.width + BESIDE) + insets / max(height, 1.0)
        if height <= TALLEST and height <= 1.9 * width:
            return count
    return 8


def _cuts(piece: Piece) -> list[tuple[float, Ends]]:
    """Heights at which only one straight edge passes, and no box."""
    spans = [(s.top - behind(s.box), s.bottom) for s in piece.spots]
    spans += [(c.y, c.y + c.height) for c in piece.scopes]
    reach = {e: _reach(line) for e, line in piece.wires.items()}
    found = []
    foot = -1e9
    for top, bottom in sorted(spans):
        if top - foot > 10 and foot > 0:
            middle = (top + foot) / 2
            passing = [e for e, (low, high) in reach.items() if low < middle < high]
            if len(passing) == 1 and _upright(piece.wires[passing[0]]):
                found.append((middle, passing[0]))
        foot = max(foot, bottom)
    return found


def _reach(line: Line) -> tuple[float, float]:
    return min(p[1] for p in line), max(p[1] for p in line)


def _upright(line: Line) -> bool:
    return len(line) == 2


def _broken(piece: Piece, chosen: list[tuple[float, Ends]]) -> Piece:
    tops = [0.0, *(at for at, _ in chosen)]
    feet = [*(at for at, _ in chosen), piece.height]
    step = piece.width + BESIDE
    done = Piece(piece.left, piece.right + step * len(chosen), 0.0)
    done.folds = [
        (-piece.left + n * step, -piece.left + n * step + piece.width) for n in range(len(tops))
    ]
    lift = 11.0
    for n, (top, foot) in enumerate(zip(tops, feet, strict=True)):
        dy = -top - (lift if n else 0.0)
        part = Piece(
            0,
            0,
            0,
            [s for s in piece.spots if top <= s.y < foot],
            [c for c in piece.scopes if top <= c.y < foot],
            {
                e: w
                for e, w in piece.wires.items()
                if top <= min(w[0][1], w[-1][1]) and max(w[0][1], w[-1][1]) < foot
            },
        ).moved(n * step, dy)
        done.take(part)
    done.height = max(foot - top for top, foot in zip(tops, feet, strict=True)) + 8
    for n, (_, ends) in enumerate(chosen):
        begin, end = piece.wires[ends]
        tail_y = begin[1] - tops[n] - (lift if n else 0.0)
        head_y = end[1] - tops[n + 1] - lift
        here, there = n * step + begin[0], (n + 1) * step + end[0]
        # The channel runs between the columns, before the names of the next one's lanes.
        channel = n * step + piece.right + 22
        # It turns where it was cut: below all that ends there, above all that begins.
        foot, top = feet[n] - tops[n] - (lift if n else 0.0), -lift
        line: Line = (
            (here, tail_y),
            (here, foot),
            (channel, foot),
            (channel, top),
            (there, top),
            (there, head_y),
        )
        done.wires[ends] = tidy(line)
    return done
