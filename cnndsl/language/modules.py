"""Files: reading them, what they use of each other, and the blocks they define."""

from __future__ import annotations

import errno
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cnndsl.diagnostics import ArchError, Diagnostic, Fault, Source, did_you_mean, fault
from cnndsl.files import read_whole, resolved, zoo
from cnndsl.language import syntax, tree
from cnndsl.language.evaluate import evaluate
from cnndsl.language.names import BlockDefinition, Env, FileScope, OpRef
from cnndsl.ops.values import spell
from cnndsl.structure import Citation, Definition

MAX_BYTES = 32_000_000


def about(definition: BlockDefinition) -> Definition:
    """What is written above a block or model, worked out once.  Raises Fault."""
    if definition.about is None:
        declaration, env = definition.declaration, definition.file.env
        citations, deviations, title = [], [], ""
        for meta in declaration.metas:
            if meta.name == "cite":
                citations.append(_citation(meta, env))
            elif meta.name == "deviates":
                deviations += [str(evaluate(a.value, env)) for a in meta.arguments]
            elif meta.name == "title":
                title = _title(meta, env)
        definition.about = Definition(
            declaration.name,
            declaration.span,
            declaration.doc,
            tuple(citations),
            tuple(deviations),
            tuple(
                (port.outside, tuple(map(_named, port.shape)))
                for port in declaration.outputs or ()
                if port.shape is not None and not port.many
            ),
            title,
        )
    return definition.about


def _named(dim: tree.Dim) -> str:
    """A size's name, where it is no more than a name."""
    match dim.value:
        case tree.Value(path=tree.NamePath(name=name, parts=()), arguments=None):
            return name if dim.name is None and name != "_" else ""
    return ""


def _title(meta: tree.Meta, env: Env) -> str:
    values = [evaluate(argument.value, env) for argument in meta.arguments]
    if len(values) != 1 or not isinstance(values[0], str) or meta.arguments[0].name:
        raise fault("E110", '`@title` takes one text: @title("FPN, ResNet-50")', meta.span)
    return values[0]


def _citation(meta: tree.Meta, env: Env) -> Citation:
    work, where = "", []
    for argument in meta.arguments:
        value = evaluate(argument.value, env)
        if argument.name is None:
            work = str(value)
        else:
            where.append((argument.name, value if isinstance(value, str) else spell(value)))
    if not work:
        raise fault(
            "E110",
            "`@cite` needs the work it cites",
            meta.span,
            help='`@cite("arXiv:…", table=1)`',
        )
    return Citation(work, tuple(where))


class Loader:
    """Reads files, each once, and resolves what they use."""

    def __init__(self) -> None:
        """Nothing is read yet."""
        self.files: dict[Path, FileScope] = {}
        self.opening: list[Path] = []
        self.root = Path()

    def main(self, path: str | Path) -> FileScope:
        """The file a user named.  Raises OSError, ArchError."""
        found = resolved(path)
        self.root = found.parent
        with resting_collector():
            # A pipe has no path that could be resolved: `<(…)`.
            source = self.read(found if found.exists() else Path(path), str(path))
            return self.scope(found, source)

    def text(self, text: str, name: str) -> FileScope:
        """A file that is only a text; what it uses is looked for in the working directory."""
        self.root = Path.cwd().resolve()
        with resting_collector():
            return self.scope(self.root / name, Source(name, _clean(text)))

    def read(self, path: Path, name: str) -> Source:
        """A file's text; an editor has its own.  Raises OSError, ArchError."""
        return _read(path, name)

    def parse(self, source: Source) -> tree.File:
        """A text's tree; an editor keeps those it has.  Raises ArchError."""
        return syntax.parse(source)

    def scope(self, path: Path, source: Source) -> FileScope:
        """The names of a parsed file."""
        scope = FileScope(path, self.parse(source), (self.root, zoo().resolve()))
        self.files[path] = scope
        self.opening.append(path)
        errors: list[Diagnostic] = []
        items: list[tree.Use | tree.Declaration | tree.Let] = [
            *scope.tree.uses,
            *scope.tree.declarations,
            *scope.tree.lets,
        ]
        for item in items:
            try:
                self._define(scope, item)
            except Fault as error:
                errors.append(error.diagnostic)
            except ArchError as error:
                errors += error.diagnostics
        self.opening.pop()
        if errors:
            raise ArchError(errors)
        return scope

    def _define(self, scope: FileScope, item: tree.Use | tree.Declaration | tree.Let) -> None:
        match item:
            case tree.Use():
                self._use(scope, item)
            case tree.Declaration():
                block = OpRef(item.name, BlockDefinition(item, scope))
                scope.env.bind(item.name, block, item.name_span, item.kind)
                _check_metas(item)
            case tree.Let():
                value = evaluate(item.value, scope.env)
                scope.env.bind(item.name, value, item.name_span, "value")
        scope.names |= scope.env.names
        scope.env.names.clear()

    def _use(self, scope: FileScope, use: tree.Use) -> None:
        used = self._open(scope, use)
        own = {d.name for d in used.tree.declarations} | {v.name for v in used.tree.lets}
        wanted = use.names or tuple(tree.Used(n, n, use.span) for n in sorted(own))
        for name in wanted:
            if name.name not in own:
                message = f"`{use.path}` does not define `{name.name}`"
                raise fault("E207", message, name.span, help=did_you_mean(name.name, own))
            bound = used.names[name.name]
            scope.env.bind(name.alias, bound.meaning, name.span, bound.kind)

    def _open(self, scope: FileScope, use: tree.Use) -> FileScope:
        path = self._find(scope, use)
        if path in self.opening:
            chain = [p.name for p in self.opening[self.opening.index(path) :]] + [path.name]
            message = f"these files use each other: {' → '.join(chain)}"
            raise fault(
                "E208", message, use.path_span, help="move what both need to a third file"
            )
        if path in self.files:
            return self.files[path]
        try:
            source = self.read(path, _shown(path, self.root))
        except OSError as error:
            message = f"`{use.path}` cannot be read: {error.strerror}"
            raise fault("E207", message, use.path_span) from None
        return self.scope(path, source)

    def _find(self, scope: FileScope, use: tree.Use) -> Path:
        """The used file: beside this one, then in the shipped zoo; never outside both."""
        shipped = zoo().resolve()
        for folder in (scope.path.parent, shipped):
            try:
                found = scope.finds(use.path, folder)
            except PermissionError:
                message = f"`{use.path}` is outside this file's folder and the shipped files"
                raise fault("E209", message, use.path_span) from None
            except OSError as error:
                message = f"`{use.path}` cannot be read: {(error.strerror or '').lower()}"
                raise fault("E207", message, use.path_span) from None
            if found is not None:
                return found
        near = {p.relative_to(shipped).as_posix() for p in shipped.rglob("*.arch")}
        wanted = Path(use.path).parent
        near |= {(wanted / p.name).as_posix() for p in _beside(scope.path.parent / use.path)}
        message = f"cannot find `{use.path}`, here or among the shipped files"
        raise fault(
            "E207", message, use.path_span, help=did_you_mean(use.path, near - {use.path})
        )


def _check_metas(declaration: tree.Declaration) -> None:
    known = ("cite", "deviates", "expect", "keys", "title")
    for meta in declaration.metas:
        if meta.name not in known:
            help = (
                did_you_mean(meta.name, known)
                or "there are @cite, @deviates, @expect, @keys and @title"
            )
            raise fault("E110", f"unknown annotation `@{meta.name}`", meta.span, help=help)


def _beside(path: Path) -> list[Path]:
    """The `.arch` files in the folder of a file that is not there."""
    try:
        return list(path.parent.glob("*.arch"))
    except OSError:
        return []


def _shown(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else path.name


def _read(path: Path, name: str) -> Source:
    """A file's text.  Raises OSError, ArchError: it is no text."""
    try:
        return decode(read_whole(path, MAX_BYTES), name)
    except OSError as error:
        if error.errno != errno.EFBIG:
            raise
        message = f"{name} is larger than {MAX_BYTES / 1e6:.0f} MB"
        raise ArchError([Diagnostic("E105", message, help="is it an .arch file?")]) from None


def decode(data: bytes, name: str) -> Source:
    """The text of some bytes: UTF-8, with or without a mark.  Raises ArchError."""
    try:
        return Source(name, _clean(data.decode("utf-8-sig")))
    except UnicodeDecodeError as error:
        message = f"{name} is not a text file: byte {error.start + 1} is not UTF-8"
        raise ArchError([Diagnostic("E105", message, help="is it an .arch file?")]) from None


def _clean(text: str) -> str:
    """One kind of line end."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


@contextmanager
def resting_collector() -> Iterator[None]:
    """No search for garbage where a tree or a network is built, all of which is kept."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()
