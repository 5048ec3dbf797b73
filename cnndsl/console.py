"""What the commands share: errors as sentences, diagnostics in colour, arguments."""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from cnndsl.commands import HOMES
from cnndsl.diagnostics import ArchError, Diagnostic, printable
from cnndsl.files import shipped

FAULTS, USAGE, BUG, INTERRUPTED = 1, 2, 70, 130
OF_THE_FILE = ("E601", "E608")
"""What a backend refuses of the network itself."""
EXTRAS = {"torch": "PyTorch", "onnx": "ONNX"}
"""What an extra of its name brings."""
"""The one code of the backends (E6) that is a fault of the file, not of what is around it."""

STYLES: dict[str, dict[str, Any]] = {
    "error": {"fg": "red", "bold": True},
    "warning": {"fg": "yellow", "bold": True},
    "gutter": {"fg": "blue"},
    "caret": {"fg": "red", "bold": True},
    "help": {"fg": "cyan"},
}


class Trouble(click.ClickException):
    """Something is wrong with the call or its files: one sentence, status 2."""

    exit_code = USAGE

    def show(self, file: Any = None) -> None:
        """`error: …`, on the error stream."""
        head = click.style("error", fg="red", bold=True)
        click.echo(f"{head}: {printable(self.message)}", file=file, err=True)


class UnfitError(ArchError):
    """Faults of what the command line sets, in a file that has none as it stands."""


class Commands(click.Group):
    """The commands; whatever goes wrong in one of them ends in a sentence and a status.

    Those of `cnndsl/commands` are imported when they are called.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all."""
        return sorted({*super().list_commands(ctx), *HOMES})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One command."""
        if cmd_name not in HOMES:
            return super().get_command(ctx, cmd_name)
        from importlib import import_module

        home = HOMES[cmd_name]
        command: click.Command = getattr(import_module(f"cnndsl.commands.{home}"), home)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        if os.environ.get("NO_COLOR"):
            ctx.color = False
        try:
            return super().invoke(ctx)
        except ArchError as error:
            report(error.diagnostics)
            ctx.exit(_status(error))
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(INTERRUPTED)
        except BrokenPipeError:
            # The reader has left (`| head`): the interpreter must not flush to it at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(USAGE)
        except OSError as error:
            raise Trouble(sentence(error)) from None
        except ImportError as error:
            if error.name not in EXTRAS:
                raise
            needed = f'this needs {EXTRAS[error.name]}: pip install "cnndsl[{error.name}]"'
            raise Trouble(needed) from None
        except (MemoryError, RecursionError):
            raise Trouble("the network does not fit in memory") from None
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if os.environ.get("CNNDSL_TRACEBACK"):
                raise
            click.echo(_bug(error), err=True)
            ctx.exit(BUG)


def _status(error: ArchError) -> int:
    """1 for faults of the file; 2 for those of values, inputs and weights around it."""
    around = [d.code.startswith("E6") and d.code not in OF_THE_FILE for d in error.diagnostics]
    return USAGE if isinstance(error, UnfitError) or all(around) else FAULTS


def _bug(error: Exception) -> str:
    """What to say of an exception that nobody foresaw."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""
    said = f"{type(error).__name__}: {error}".strip(": ")
    head = click.style("internal error", fg="red", bold=True)
    return (
        f"{head}: {said}{where}\nThis is a bug in cnndsl; please report it with the"
        " file (CNNDSL_TRACEBACK=1 shows more)."
    )


def sentence(error: OSError) -> str:
    """`x.arch: no such file or directory`."""
    reason = error.strerror or str(error)
    reason = reason[:1].lower() + reason[1:]
    return f"{error.filename}: {reason}" if error.filename else reason


def report(diagnostics: Iterable[Diagnostic]) -> None:
    """Print diagnostics on the error stream, in colour where it is a terminal."""
    for number, diagnostic in enumerate(diagnostics):
        styles = {**STYLES, "severity": STYLES[diagnostic.severity]}
        parts = [
            click.style(text, **styles[role]) if role in styles else text
            for text, role in diagnostic.parts()
        ]
        between = "\n" if number else ""
        click.echo(between + "".join(parts), err=True, nl=False)


# Arguments


class NetworkFile(click.ParamType):  # type: ignore[type-arg]
    """An `.arch` file, `-`, or the name of a shipped network."""

    name = "file"

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002 - click calls it with all three
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        """The shipped networks and the files here."""
        names = [name for name in shipped() if name.startswith(incomplete)]
        return [*map(CompletionItem, names), CompletionItem(incomplete, type="file")]


def pairs(kind: str) -> Callable[[click.Context, click.Parameter, tuple[str, ...]], Any]:
    """A callback that splits `name=value`, each name once."""

    def split(
        ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
    ) -> dict[str, str]:
        found: dict[str, str] = {}
        for text in values:
            name, equal, value = text.partition("=")
            if not (equal and name and value):
                raise click.BadParameter(f"`{text}` is not {kind}", ctx, param)
            if name in found:
                raise click.BadParameter(f"`{name}` is given twice", ctx, param)
            found[name] = value
        return found

    return split


def _shapes(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> dict[str, tuple[int, ...]]:
    """`image=3x320x320` as a shape by name."""
    shapes = {}
    for name, text in pairs("name=3x320x320")(ctx, param, values).items():
        sizes = text.split("x")
        if not all(size.isascii() and size.isdigit() and len(size) < 10 for size in sizes):
            message = (
                f"cannot read the shape `{text}`: write {name}=3x320x320, without the batch"
            )
            raise click.BadParameter(message, ctx, param)
        shapes[name] = tuple(map(int, sizes))
    return shapes


def numbers(ctx: click.Context, param: click.Parameter, value: str | None) -> Any:
    """`0.5,0.5,0.5` as numbers."""
    try:
        found = tuple(float(part) for part in value.split(",")) if value is not None else None
        if found is None or all(map(math.isfinite, found)):
            return found
        raise ValueError
    except ValueError:
        message = f"`{value}` is not a list of numbers: write 0.5,0.5,0.5"
        raise click.BadParameter(message, ctx, param) from None


def _labels(
    ctx: click.Context,
    param: click.Parameter,
    text: str | None,
) -> tuple[str, ...]:
    """`c2,x[0, 1]` as labels; a comma in brackets is the label's own."""
    if text is None:
        return ()
    parts = re.split(r",(?![^\[]*\])", "".join(text.split()))
    found = tuple(part.replace(",", ", ") for part in parts)
    if not all(found):
        message = f"`{text}` is not a list of labels: write c2,c3,c4"
        raise click.BadParameter(message, ctx, param)
    return found


F = TypeVar("F", bound=Callable[..., Any])


outputs_option = click.option(
    "--outputs",
    metavar="LABEL,LABEL",
    callback=_labels,
    help="Make these labels the outputs, and leave out what they do not need.",
)


def network_arguments(command: F) -> F:
    """FILE, --model, --set and --outputs."""
    options: tuple[Callable[[F], F], ...] = (
        click.argument("file", type=NetworkFile()),
        click.option("--model", metavar="NAME", help="Which model, if FILE has several."),
        click.option(
            "--set",
            "parameters",
            metavar="NAME=VALUE",
            multiple=True,
            callback=pairs("name=value"),
            help="Set a parameter of the model; may be repeated.",
        ),
        outputs_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


sized = click.option(
    "--input",
    "inputs",
    metavar="NAME=3x320x320",
    multiple=True,
    callback=_shapes,
    help="The shape of an input, without the batch; may be repeated.",
)
output_path = click.option(
    "-o", "--output", metavar="PATH", help="Where to write; `-` is standard output."
)
