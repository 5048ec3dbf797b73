"""`cnndsl import`."""

from __future__ import annotations

import sys

import click

from cnndsl.commands.opening import costs_of, foreign, stem_of
from cnndsl.console import Trouble, output_path
from cnndsl.files import replacing


def _shape(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> list[tuple[int, ...]]:
    """`3x224x224` as a shape."""
    shapes = []
    for text in values:
        sizes = text.split("x")
        if not all(size.isascii() and size.isdigit() and len(size) < 10 for size in sizes):
            message = f"cannot read the shape `{text}`: write 3x224x224, without the batch"
            raise click.BadParameter(message, ctx, param)
        shapes.append(tuple(map(int, sizes)))
    return shapes


@click.command("import")
@click.argument("source")
@output_path
@click.option(
    "--weights", metavar="PATH", help="Write its weights under our names, as .safetensors."
)
@click.option(
    "--input",
    "shapes",
    metavar="3x224x224",
    multiple=True,
    callback=_shape,
    help="The shape of its image, without the batch; once for each input.",
)
def importing(
    source: str, output: str | None, weights: str | None, shapes: list[tuple[int, ...]]
) -> None:
    """Write a PyTorch or ONNX network as an .arch file, proved equal.

    SOURCE is `torchvision.models:resnet50`, `timm:convnext_tiny`, `path/model.py:Net`,
    `model.pt2` or `model.onnx`. The first three run Python, a .py file with all that stands
    in it; .pt2 and .onnx run nothing of yours. A network that the language cannot say
    exactly is refused, with the module and the operation, and nothing is written.
    """
    from cnndsl.importing.sources import read

    if source.endswith((".pth", ".pt", ".safetensors", ".ckpt")):
        raise Trouble(
            f"{source}: this file holds weights, not a network; name what builds it, as in"
            " model.py:Net; `cnndsl run --weights` reads them afterwards"
        )
    if not foreign(source):
        raise Trouble(
            f"{source}: write torchvision.models:resnet50, timm:NAME, model.py:Net,"
            " model.pt2 or model.onnx"
        )
    if weights is not None and not weights.endswith(".safetensors"):
        raise Trouble(f"{weights}: weights are written as .safetensors")
    found = read(source, shapes)
    path = output or f"{stem_of(source)}.arch"
    if path == "-":
        sys.stdout.buffer.write(found.text.encode())
    else:
        with replacing(path) as part:
            part.write_text(found.text, encoding="utf-8")
        click.echo(f"{path}: {costs_of(found.network)}")
    click.echo(found.report, err=True)
    if weights is not None:
        from safetensors.numpy import save_file

        with replacing(weights) as part:
            save_file(found.weights, part)
        click.echo(f"{weights}: {len(found.weights)} tensors", err=True)
