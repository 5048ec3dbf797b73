"""`cnndsl solve`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from cnndsl.commands.opening import network_of, unknown
from cnndsl.console import FAULTS, Trouble, network_arguments, sized

if TYPE_CHECKING:
    from cnndsl.analysis.solve import Make, Setting
    from cnndsl.graph import Network


@click.command()
@network_arguments
@click.argument("setting")
@click.argument("budget")
@sized
@click.option(
    "--step",
    type=click.FloatRange(0, min_open=True),
    help="Step of the search; 0.01 for a float, 1 otherwise.",
)
def solve(
    file: str,
    model: str | None,
    parameters: dict[str, str],
    outputs: tuple[str, ...],
    setting: str,
    budget: str,
    inputs: dict[str, tuple[int, ...]],
    step: float | None,
) -> None:
    """Find the largest SETTING within a BUDGET.

    `cnndsl solve mobilenetv2 width 'macs <= 300M'`. SETTING is a numeric parameter, a
    named size of the input, or `resolution`; BUDGET bounds macs, params, peak (bytes, or
    10MiB) or rf(label), with <= or, for the smallest setting that reaches it, >=.
    """
    from cnndsl.analysis.solve import solve as solved

    _, network = network_of(file, model, parameters, inputs, outputs)
    make, start = _settable(network, setting)
    unit: Setting | None = step
    if step is not None and isinstance(start, int):
        unit = max(1, int(step))
    try:
        found = solved(setting, budget, make, start, step=unit)
    except (ValueError, LookupError) as error:
        raise Trouble(str(error.args[0])) from None
    click.echo(str(found))
    if found.setting is None:
        sys.exit(FAULTS)


def _settable(network: Network, name: str) -> tuple[Make, Setting]:
    """How to build the network at a setting, and the setting as it is."""
    from cnndsl.analysis.propagate import sizes_of
    from cnndsl.symbolic import Axis

    made = network.again
    assert made is not None
    values = dict(network.arguments)
    shapes = {port: tuple(map(int, t.shape)) for port, t in network.inputs.items()}
    own = values.get(name)
    if isinstance(own, int | float) and not isinstance(own, bool):
        return (lambda setting: made({**values, name: setting}, shapes)), own
    atoms, sizes = sizes_of(network)
    axes = {atom: size for atom, size in atoms.items() if isinstance(atom, Axis)}
    chosen = {
        (atom.tensor, atom.axis)
        for atom, size in axes.items()
        if size == name or (name == "resolution" and atom.axis)
    }
    if not chosen:
        numeric = [k for k, v in values.items() if isinstance(v, int | float)]
        raise unknown("setting", name, [*numeric, *sizes, "resolution"], network.name)

    def resized(setting: Setting) -> Network:
        other = {
            port: tuple(
                int(setting) if (port, axis) in chosen else n for axis, n in enumerate(shape)
            )
            for port, shape in shapes.items()
        }
        return made(values, other)

    first = sorted(chosen)[0]
    return resized, shapes[first[0]][first[1]]
