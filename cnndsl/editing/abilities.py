"""What the language server can do: one function for each ability."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any, TypeVar

from lsprotocol import types as lsp
from pygls import uris

from cnndsl.diagnostics import ArchError, Source, Span
from cnndsl.editing import answers, completing
from cnndsl.editing.layout import layout
from cnndsl.editing.positions import Drift
from cnndsl.editing.reading import clean
from cnndsl.editing.server import Document, Server
from cnndsl.editing.symbols import Place, used_path
from cnndsl.language import tree

KINDS = ["class", "function", "parameter", "variable", "property", "typeParameter"]
KINDS += ["keyword", "string", "number", "comment", "decorator"]
SYMBOLS = {
    "model": lsp.SymbolKind.Class,
    "block": lsp.SymbolKind.Function,
    "parameter": lsp.SymbolKind.TypeParameter,
    "label": lsp.SymbolKind.Field,
    "value": lsp.SymbolKind.Constant,
}
ITEMS = {
    "keyword": lsp.CompletionItemKind.Keyword,
    "operation": lsp.CompletionItemKind.Function,
    "function": lsp.CompletionItemKind.Function,
    "block": lsp.CompletionItemKind.Class,
    "model": lsp.CompletionItemKind.Class,
    "argument": lsp.CompletionItemKind.Property,
    "file": lsp.CompletionItemKind.File,
    "type": lsp.CompletionItemKind.TypeParameter,
    "word": lsp.CompletionItemKind.Value,
    "value": lsp.CompletionItemKind.Value,
    "label": lsp.CompletionItemKind.Field,
    "output": lsp.CompletionItemKind.Field,
    "size": lsp.CompletionItemKind.Property,
}


F = TypeVar("F", bound=Callable[..., Any])
ABILITIES: list[tuple[str, object, Callable[..., Any]]] = []


def ability(method: str, options: object = None) -> Callable[[F], F]:
    """Let the server answer a method of the protocol by a function."""

    def listed(function: F) -> F:
        ABILITIES.append((method, options, function))
        return function

    return listed


def server() -> Server:
    """A server with all its abilities."""
    made = Server()
    for method, options, function in ABILITIES:
        made.feature(method, options)(function)
    return made


@ability(lsp.TEXT_DOCUMENT_DID_OPEN)
async def _opened(ls: Server, params: lsp.DidOpenTextDocumentParams) -> None:
    """A file was opened."""
    document = params.text_document
    ls.take(document.uri, document.text, document.version)


@ability(lsp.TEXT_DOCUMENT_DID_CHANGE)
async def _changed(ls: Server, params: lsp.DidChangeTextDocumentParams) -> None:
    """A file was changed."""
    document = params.text_document
    text = ls.workspace.get_text_document(document.uri).source
    ls.take(document.uri, text, document.version)


@ability(lsp.TEXT_DOCUMENT_DID_CLOSE)
async def _closed(ls: Server, params: lsp.DidCloseTextDocumentParams) -> None:
    """A file was closed."""
    uri = params.text_document.uri
    ls.documents.pop(uri, None)
    ls.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(uri, []))


@ability(lsp.TEXT_DOCUMENT_DID_SAVE)
async def _saved(ls: Server, params: lsp.DidSaveTextDocumentParams) -> None:
    """A file was saved."""
    document = ls.documents.get(params.text_document.uri)
    if document is not None:
        ls._others(document)


@ability(lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES)
async def _watched(ls: Server, params: lsp.DidChangeWatchedFilesParams) -> None:
    """Files on the disk have changed."""
    ls.recheck()


@ability(lsp.TEXT_DOCUMENT_HOVER)
async def _hover(ls: Server, params: lsp.HoverParams) -> lsp.Hover | None:
    """What a word is."""
    document = await ls.ready(params.text_document.uri)
    asked = document and ls.asked(document, params.position)
    if document is None or not asked:
        return None
    names, source, offset = asked
    found = answers.hover(ls.found(document), names, source, offset)
    if found is None:
        return None
    span, text = found
    return lsp.Hover(lsp.MarkupContent(lsp.MarkupKind.Markdown, text), ls.range(span))


@ability(lsp.TEXT_DOCUMENT_INLAY_HINT)
async def _hints(ls: Server, params: lsp.InlayHintParams) -> list[lsp.InlayHint]:
    """The shapes at the ends of lines."""
    document = await ls.ready(params.text_document.uri)
    if document is None:
        return []
    source = Source(str(document.path), clean(document.text))
    positions = ls.positions(source)
    found = []
    for offset, text in answers.hints(ls.found(document), source):
        line, column = positions.position(offset)
        if params.range.start.line <= line <= params.range.end.line:
            place = lsp.Position(line, column)
            found.append(lsp.InlayHint(place, text, padding_left=True))
    return found


@ability(
    lsp.TEXT_DOCUMENT_COMPLETION, lsp.CompletionOptions(trigger_characters=list('."(@=/ '))
)
async def _completion(ls: Server, params: lsp.CompletionParams) -> list[lsp.CompletionItem]:
    """What can be written here."""
    document = ls.documents.get(params.text_document.uri)
    if document is None:
        return []
    text = clean(document.text)
    positions = ls.positions(Source(str(document.path), text))
    offset = positions.offset(params.position.line, params.position.character)
    names = ls.names(document)
    if names is not None and names.file.span.source.text != text:
        # The names in scope, of the text as it was: the place moves with its surroundings.
        drift = Drift.between(names.file.span.source.text, text)
        then = drift.back(offset)
        then = drift.before if then is None else then
    else:
        then = offset
    items = completing.complete(text, offset, names, document.path, then)
    return [
        lsp.CompletionItem(
            item.text,
            kind=ITEMS.get(item.kind, lsp.CompletionItemKind.Variable),
            detail=item.detail or None,
            documentation=item.document or None,
            sort_text=f"{number:04}",
        )
        for number, item in enumerate({i.text: i for i in reversed(items)}.values())
    ][::-1]


@ability(lsp.TEXT_DOCUMENT_DEFINITION)
async def _definition(ls: Server, params: lsp.DefinitionParams) -> lsp.Location | None:
    """Where a name is defined, through `use`."""
    document = await ls.ready(params.text_document.uri)
    asked = document and ls.asked(document, params.position)
    if document is None or not asked:
        return None
    names, _, offset = asked
    for use in names.file.uses if names is not None else ():
        if use.path_span.start <= offset <= use.path_span.stop:
            path = used_path(document.path, use.path)
            top = lsp.Range(lsp.Position(0, 0), lsp.Position(0, 0))
            return lsp.Location(uris.from_fs_path(str(path)) or "", top) if path else None
    place = names.at(offset) if names is not None else None
    return ls.location(place.symbol.span) if place is not None else None


@ability(lsp.TEXT_DOCUMENT_REFERENCES)
async def _references(ls: Server, params: lsp.ReferenceParams) -> list[lsp.Location]:
    """Where a name is meant."""
    document = await ls.ready(params.text_document.uri)
    place = _place(ls, document, params.position)
    if document is None or place is None:
        return []
    wanted = ls.places(place, document.path)
    with_definition = params.context.include_declaration
    return [ls.location(p.span) for p in wanted if with_definition or not p.defines]


@ability(lsp.TEXT_DOCUMENT_DOCUMENT_HIGHLIGHT)
async def _highlight(
    ls: Server, params: lsp.DocumentHighlightParams
) -> list[lsp.DocumentHighlight]:
    """Where a name is meant in this file."""
    document = await ls.ready(params.text_document.uri)
    place = _place(ls, document, params.position)
    if document is None or place is None:
        return []
    found = ls._meaning(place.symbol.span, [document.path])
    return [lsp.DocumentHighlight(ls.range(p.span)) for p in found]


@ability(lsp.TEXT_DOCUMENT_PREPARE_RENAME)
async def _prepare(ls: Server, params: lsp.PrepareRenameParams) -> lsp.Range | None:
    """Whether a name can be renamed."""
    document = await ls.ready(params.text_document.uri)
    place = _place(ls, document, params.position)
    return ls.range(place.span) if place is not None else None


@ability(lsp.TEXT_DOCUMENT_RENAME, lsp.RenameOptions(prepare_provider=True))
async def _rename(ls: Server, params: lsp.RenameParams) -> lsp.WorkspaceEdit | None:
    """The edits of a new name."""
    document = await ls.ready(params.text_document.uri)
    place = _place(ls, document, params.position)
    if document is None or place is None:
        return None
    return await ls.rename(document, place, params.new_name)


@ability(lsp.TEXT_DOCUMENT_DOCUMENT_SYMBOL)
async def _symbols(ls: Server, params: lsp.DocumentSymbolParams) -> list[lsp.DocumentSymbol]:
    """The blocks of a file, with their parameters and labels."""
    document = await ls.ready(params.text_document.uri)
    names = ls.names(document) if document is not None else None
    if names is None:
        return []
    file = names.file
    found = [_symbol(ls, let.name, "value", let.span, let.name_span) for let in file.lets]
    for declaration in file.declarations:
        inner = [
            _symbol(ls, p.name, "parameter", p.span, p.name_span) for p in declaration.params
        ]
        for line in declaration.body:
            for label in line.labels if isinstance(line, tree.LineStatement) else ():
                inner.append(_symbol(ls, str(label), "label", line.span, label.span))
        own = (declaration.name, declaration.kind, declaration.span, declaration.name_span)
        found.append(_symbol(ls, *own, children=inner))
    return found


@ability(lsp.TEXT_DOCUMENT_FORMATTING)
async def _formatting(ls: Server, params: lsp.DocumentFormattingParams) -> list[lsp.TextEdit]:
    """The layout of `cnndsl fmt`."""
    document = ls.documents.get(params.text_document.uri)
    if document is None:
        return []
    text = clean(document.text)
    try:
        return line_edits(text, layout(text))
    except ArchError:
        return []


@ability(
    lsp.TEXT_DOCUMENT_SEMANTIC_TOKENS_FULL,
    lsp.SemanticTokensLegend(KINDS, ["definition"]),
)
async def _semantic(ls: Server, params: lsp.SemanticTokensParams) -> lsp.SemanticTokens:
    """The colours of words."""
    document = ls.documents.get(params.text_document.uri)
    data: list[int] = []
    if document is None:
        return lsp.SemanticTokens(data)
    source = Source(str(document.path), clean(document.text))
    positions = ls.positions(source)
    row = column = 0
    for token, kind, defines in answers.colours(source.text, ls.names(document)):
        # A token of several lines is one for each of them.
        at = token.start
        for part in token.text.split("\n"):
            line, start = positions.position(at)
            length = positions.position(at + len(part))[1] - start
            if length:
                shift = start - column if line == row else start
                data += [line - row, shift, length, KINDS.index(kind), int(defines)]
                row, column = line, start
            at += len(part) + 1
    return lsp.SemanticTokens(data)


@ability(
    lsp.TEXT_DOCUMENT_CODE_ACTION,
    lsp.CodeActionOptions([lsp.CodeActionKind.QuickFix, lsp.CodeActionKind.SourceFixAll]),
)
async def _actions(ls: Server, params: lsp.CodeActionParams) -> list[lsp.CodeAction]:
    """The mends that messages know."""
    document = await ls.ready(params.text_document.uri)
    if document is None:
        return []
    found, certain = [], []
    for diagnostic, mend in ls.mends(document):
        certain += [mend] if mend.certain else []
        shown = ls.diagnostic(document, diagnostic)
        if _apart(shown.range, params.range) and _apart(ls.range(mend.span), params.range):
            continue
        found.append(
            lsp.CodeAction(
                mend.title,
                lsp.CodeActionKind.QuickFix,
                [shown],
                is_preferred=True,
                edit=ls.edit([mend]),
            )
        )
    wanted = params.context.only or []
    if certain:
        kind, title = lsp.CodeActionKind.SourceFixAll, "Mend all that is certain"
        found.append(lsp.CodeAction(title, kind, edit=ls.edit(certain)))
    return [a for a in found if not wanted or any(_is_kind(a.kind, w) for w in wanted)]


def line_edits(before: str, after: str) -> list[lsp.TextEdit]:
    """What makes one text of another, by whole lines: the cursor stays in its place."""
    old, new = (text.split("\n") for text in (before, after))
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    edits = []
    for kind, start, stop, first, last in matcher.get_opcodes():
        if kind == "equal":
            continue
        text = "".join(f"{line}\n" for line in new[first:last])
        begin, end = lsp.Position(start, 0), lsp.Position(stop, 0)
        if stop == len(old):
            # The last line has no end to replace.
            end = lsp.Position(stop - 1, len(old[-1].encode("utf-16-le")) // 2)
            text = "\n".join(new[first:last])
            if start == stop:
                begin, text = end, f"\n{text}"
            elif first == last and start > 0:
                begin = lsp.Position(start - 1, len(old[start - 1].encode("utf-16-le")) // 2)
        edits.append(lsp.TextEdit(lsp.Range(begin, end), text))
    return edits


def _place(ls: Server, document: Document | None, position: lsp.Position) -> Place | None:
    """The name at a position."""
    asked = ls.asked(document, position) if document is not None else None
    if asked is None:
        return None
    names, _, offset = asked
    return names.at(offset) if names is not None else None


def _symbol(
    ls: Server,
    name: str,
    kind: str,
    span: Span,
    name_span: Span,
    children: list[lsp.DocumentSymbol] | None = None,
) -> lsp.DocumentSymbol:
    whole, own = ls.range(span), ls.range(name_span)
    return lsp.DocumentSymbol(name, SYMBOLS[kind], whole, own, children=children)


def _apart(one: lsp.Range, other: lsp.Range) -> bool:
    def key(position: lsp.Position) -> tuple[int, int]:
        return position.line, position.character

    return key(one.end) < key(other.start) or key(other.end) < key(one.start)


def _is_kind(kind: object, wanted: object) -> bool:
    """Whether a kind of action is one that was asked for, or below it."""
    ours, theirs = (str(getattr(k, "value", k)) for k in (kind, wanted))
    return ours == theirs or ours.startswith(f"{theirs}.")
