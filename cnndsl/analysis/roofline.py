"""How long each node takes at best: by what it computes, or by what it moves.

intensity = FLOPs / (bytes read + written + weights);
time = max(FLOPs / peak, bytes / bandwidth).
Source: Williams, Waterman & Patterson 2009, CACM 52(4), "Roofline".
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from posixpath import commonpath
from typing import Literal

from cnndsl.analysis.buffers import layout
from cnndsl.analysis.plots import Roof, Spot, roofline_svg, roofline_text
from cnndsl.analysis.work import layers
from cnndsl.graph import Network
from cnndsl.structure import Call, Step, nodes_of, walk


@dataclass(frozen=True, slots=True)
class Device:
    """Peak FLOP/s and bytes/s, and the bytes of an element."""

    name: str
    peak: float
    bandwidth: float
    element: int = 4

    @property
    def ridge(self) -> float:
        """The intensity from which on arithmetic is what limits."""
        return self.peak / self.bandwidth

    def __str__(self) -> str:
        """`cpu: 1 TFLOP/s, 80 GB/s, ridge at 12.5 FLOP/byte`."""
        return (
            f"{self.name}: {self.peak / 1e12:g} TFLOP/s, {self.bandwidth / 1e9:g} GB/s,"
            f" ridge at {self.ridge:.1f} FLOP/byte"
        )


DEVICES = {
    # NVIDIA H200 SXM data sheet: 67 TFLOP/s in FP32, 989 in BF16 (dense), 4.8 TB/s.
    "h200": Device("h200", 67e12, 4.8e12),
    "h200-bf16": Device("h200-bf16", 989e12, 4.8e12, 2),
    # A desktop processor: 8 cores, 4 GHz, 32 FLOPs a cycle; two channels of DDR5.
    "cpu": Device("cpu", 1e12, 80e9),
}


@dataclass(frozen=True, slots=True)
class Point:
    """One node on the roofline."""

    node: str
    flops: int
    bytes: int
    time: float
    limit: Literal["compute", "memory"]

    @property
    def intensity(self) -> float:
        """FLOPs a byte."""
        return self.flops / self.bytes if self.bytes else 0.0


@dataclass(frozen=True, slots=True)
class Roofline:
    """All nodes; their times sum to the total."""

    network: Network = field(repr=False)
    device: Device
    points: tuple[Point, ...] = field(repr=False)

    @property
    def time(self) -> float:
        """Seconds, each node on its own."""
        return math.fsum(point.time for point in self.points)

    def rows(self) -> list[dict[str, object]]:
        """One row a node, for a data frame."""
        return [
            {
                "node": p.node,
                "flops": p.flops,
                "bytes": p.bytes,
                "intensity": p.intensity,
                "seconds": p.time,
                "limit": p.limit,
            }
            for p in self.points
        ]

    def text(self, top: int | None = 20) -> str:
        """The slowest nodes, the total, and the plot."""
        slow = sorted(self.points, key=lambda point: -point.time)[:top]
        width = max((len(point.node) for point in slow), default=4)
        bound = math.fsum(p.time for p in self.points if p.limit == "memory")
        lines = [
            f"{self.network.name} on {self.device}",
            f"at best {_micro(self.time)} µs, {100 * bound / (self.time or 1):.1f} % of it"
            " limited by memory",
            "",
            f"{'node':{width}}  {'GFLOPs':>9}  {'MiB':>8}  {'FLOP/byte':>9}  {'µs':>9}  limit",
        ]
        lines += [
            f"{p.node:{width}}  {p.flops / 1e9:9.3f}  {p.bytes / 2**20:8.2f}"
            f"  {p.intensity:9.2f}  {_micro(p.time):>9}  {p.limit}"
            for p in slow
        ]
        return "\n".join([*lines, "", self.plot()])

    __str__ = text

    def plot(self) -> str:
        """Attainable FLOP/s over intensity, both logarithmic; a digit is that many nodes."""
        return roofline_text(self._roof(), f"{self.device.peak / 1e12:g} TF/s")

    def svg(self) -> str:
        """The plot as a picture."""
        note = (
            f"at best {_micro(self.time)} µs; a spot is a block or a step, its area its part"
            " of the time, red where memory takes most of that"
        )
        return roofline_svg(
            self._roof(blocks=True), f"{self.network.title} on {self.device}", note
        )

    def _roof(self, *, blocks: bool = False) -> Roof:
        """Spots for layers, or for blocks: equal ones are one."""
        groups: dict[str, list[Point]] = {}
        names = _parts(self.network) if blocks else {}
        for point in self.points:
            groups.setdefault(names.get(point.node, point.node), []).append(point)
        spots: dict[tuple[int, ...], list[Spot]] = {}
        for name, found in groups.items():
            flops, size = sum(p.flops for p in found), sum(p.bytes for p in found)
            time = math.fsum(p.time for p in found)
            if not flops or not time:
                continue
            bound = math.fsum(p.time for p in found if p.limit == "memory") > time / 2
            spot = Spot(name, flops / size, flops / time, time / self.time, bound)
            same = (flops, size) if blocks else (len(spots),)
            spots.setdefault(same, []).append(spot)
        merged = [
            replace(
                same[0],
                name=same[0].name + (f" ×{len(same)}" if len(same) > 1 else ""),
                share=math.fsum(spot.share for spot in same),
            )
            for same in spots.values()
        ]
        return Roof(tuple(merged), self.device.peak, self.device.bandwidth)


def _parts(network: Network) -> dict[str, str]:
    """For each node the name of the innermost block that it is in, else of its step."""
    found: dict[str, str] = {}
    for item in walk(network.structure.body):
        if isinstance(item, Call | Step):
            inside = list(nodes_of([item]))
            name = commonpath([node.replace(".", "/") for node in inside] or [""])
            name = name.replace("/", ".")
            # A block comes before what is in it: the innermost has the last word.
            if isinstance(item, Call) and inside:
                found |= dict.fromkeys(inside, name or inside[0])
            else:
                for node in inside:
                    found.setdefault(node, name or inside[0])
    return found


def _micro(seconds: float) -> str:
    return f"{1e6 * seconds:,.2f}"


def roofline(network: Network, device: Device | str = "h200", batch: int = 1) -> Roofline:
    """The roofline of a network.  Raises ValueError: the device is unknown."""
    found = read_device(device) if isinstance(device, str) else device
    points, views = [], layout(network, batch).views
    for layer in layers(network):
        flops = 2 * batch * layer.macs
        moved = sum(math.prod(shape) for shape in (*layer.inputs, *layer.outputs))
        weights = sum(math.prod(shape) for shape in layer.weights.values())
        size = found.element * (batch * layer.rows * moved + weights)
        size = 0 if layer.node.name in views else size
        compute, memory = flops / found.peak, size / found.bandwidth
        limit: Literal["compute", "memory"] = "compute" if compute > memory else "memory"
        points.append(Point(layer.node.name, flops, size, max(compute, memory), limit))
    return Roofline(network, found, tuple(points))


def read_device(text: str) -> Device:
    """`h200`, or `PEAK,BANDWIDTH` in FLOP/s and bytes/s: `10T,100G`.  Raises ValueError."""
    if text in DEVICES:
        return DEVICES[text]
    from cnndsl.analysis.counts import read_figure

    parts = text.split(",")
    if len(parts) != 2:
        known = ", ".join(DEVICES)
        raise ValueError(f"unknown device `{text}`: {known}, or PEAK,BANDWIDTH as 10T,100G")
    peak, bandwidth = (float(read_figure(part)[0]) for part in parts)
    if peak <= 0 or bandwidth <= 0:
        raise ValueError(f"`{text}`: both figures must be positive")
    return Device(text, peak, bandwidth)
