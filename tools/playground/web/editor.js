// The editor: colours, messages, shapes at the ends of lines, hover, completion.
import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { bracketMatching, indentOnInput, indentUnit } from "@codemirror/language";
import { lintGutter, lintKeymap, setDiagnostics } from "@codemirror/lint";
import { python } from "@codemirror/lang-python";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { Compartment, EditorState, StateEffect, StateField } from "@codemirror/state";
import {
  Decoration, EditorView, WidgetType, drawSelection, highlightActiveLine, highlightActiveLineGutter,
  highlightSpecialChars, hoverTooltip, keymap, lineNumbers,
} from "@codemirror/view";
import { highlightCode } from "@lezer/highlight";
import { arch, colours, language, style } from "./language.js";

// Night

const night = matchMedia("(prefers-color-scheme: dark)");
const theme = new Compartment();
const dark = () => EditorView.darkTheme.of(night.matches);
const look = EditorView.theme({ "&": { height: "100%" }, ".cm-scroller": { fontFamily: "inherit", lineHeight: "1.55" } });
const common = () => [lineNumbers(), highlightSpecialChars(), drawSelection(), search({ top: true }), look, theme.of(dark())];
export const followNight = (...views) =>
  night.addEventListener("change", () => views.forEach((view) => view.dispatch({ effects: theme.reconfigure(dark()) })));

// What stands behind a line, and the lines of a box

class Behind extends WidgetType {
  constructor(text, kind) { super(); Object.assign(this, { text, kind }); }
  eq(other) { return other.text === this.text && other.kind === this.kind; }
  toDOM() {
    const made = document.createElement("span");
    made.className = `behind ${this.kind}`;
    made.textContent = this.text;
    return made;
  }
}

const decorations = (effect) => StateField.define({
  create: () => Decoration.none,
  update(found, change) {
    found = found.map(change.changes);
    for (const each of change.effects) if (each.is(effect)) found = Decoration.set(each.value, true);
    return found;
  },
  provide: (field) => EditorView.decorations.from(field),
});
const setBehind = StateEffect.define();
const setNear = StateEffect.define();
const behind = decorations(setBehind);
const near = decorations(setNear);

/** Show the messages in the text, and shapes where there are none. */
export const annotate = (view, { messages, hints }) => {
  const doc = view.state.doc;
  const lines = new Map();
  for (const { at, text } of hints) lines.set(doc.lineAt(at).to, new Behind(text, "shape"));
  for (const { here, place, severity, text } of [...messages].reverse()) {
    if (here) lines.set(doc.lineAt(Math.min(place[0], doc.length)).to, new Behind(text.split("\n")[0], severity));
  }
  const widgets = [...lines].map(([at, widget]) => Decoration.widget({ widget, side: 1 }).range(at));
  view.dispatch({ effects: setBehind.of(widgets) });
  const found = messages.filter((message) => message.here).map(({ place, severity, text, mend, code }) => ({
    from: place[0],
    to: Math.min(place[1], doc.length),
    severity,
    source: code,
    message: text,
    actions: mend ? [{ name: mend.title, apply: (editor) => apply(editor, mend) }] : [],
  }));
  view.dispatch(setDiagnostics(view.state, found));
};

export const apply = (view, { place, text }) =>
  view.dispatch({ changes: { from: place[0], to: place[1], insert: text }, userEvent: "input" });

/** Mark lines, and bring them into sight. */
export const reveal = (view, first, last, focus) => {
  const { doc } = view.state;
  const lines = [];
  for (let line = first; line <= Math.min(last, doc.lines); line++) {
    lines.push(Decoration.line({ class: "near" }).range(doc.line(line).from));
  }
  const at = doc.line(Math.min(first, doc.lines)).from;
  view.dispatch({ effects: [setNear.of(lines), EditorView.scrollIntoView(at, { y: "center" })] });
  if (focus) {
    view.dispatch({ selection: { anchor: at } });
    view.focus();
  }
};
export const unmark = (view) => view.dispatch({ effects: setNear.of([]) });

/** Make it another text, and leave the cursor where it is: only what differs is replaced. */
export const replace = (view, text) => {
  const old = view.state.doc.toString();
  let start = 0;
  while (start < Math.min(old.length, text.length) && old[start] === text[start]) start++;
  let behind = 0;
  while (behind < Math.min(old.length, text.length) - start && old[old.length - 1 - behind] === text[text.length - 1 - behind]) behind++;
  if (old !== text) {
    view.dispatch({ changes: { from: start, to: old.length - behind, insert: text.slice(start, text.length - behind) }, userEvent: "input" });
  }
};

// Hover: the little of Markdown that the answers use

const coloured = (text) => {
  const made = document.createElement("pre");
  highlightCode(
    text, language.parser.parse(text), style,
    (part, classes) => {
      const span = document.createElement("span");
      span.className = classes;
      span.textContent = part;
      made.append(span);
    },
    () => made.append("\n"),
  );
  return made;
};
const spans = (text) => text.split(/(\*\*.+?\*\*|`.+?`|\n)/).map((part) => {
  const tag = part.startsWith("**") ? "strong" : part.startsWith("`") ? "code" : part === "\n" ? "br" : "span";
  const made = document.createElement(tag);
  if (tag !== "br") made.textContent = { strong: part.slice(2, -2), code: part.slice(1, -1), span: part }[tag];
  return made;
});
const rendered = (text) => {
  const made = document.createElement("div");
  made.className = "told";
  for (const part of text.split(/(```arch\n[^]*?\n```)/)) {
    const code = /^```arch\n([^]*?)\n```$/.exec(part);
    if (code) made.append(coloured(code[1]));
    else for (const paragraph of part.split(/\n\n+/).filter((each) => each.trim())) {
      const block = document.createElement("p");
      block.append(...spans(paragraph.trim().replace(/ {2}\n/g, "\n")));
      made.append(block);
    }
  }
  return made;
};

const KINDS = {
  keyword: "keyword", operation: "function", function: "function", block: "class", model: "class", file: "text",
  argument: "property", parameter: "variable", type: "type", word: "constant", value: "constant", size: "property",
};

/** The states of the editor's texts: one's own, and files that are only read. */
export const editing = ({ ask, changed, moved, keys }) => {
  const hover = hoverTooltip(async (view, at) => {
    const found = await ask({ do: "hover", at }, view);
    if (!found?.text) return null;
    return { pos: found.place[0], end: found.place[1], above: true, create: () => ({ dom: rendered(found.text) }) };
  }, { hoverTime: 250 });
  const complete = async (context) => {
    const before = context.matchBefore(/[\p{L}\p{N}_]+|[.(@"=/]|(?:->|when|else|then)\s+/u);
    if (!before && !context.explicit) return null;
    const quoted = context.matchBefore(/"[\w./-]*/);
    const from = quoted ? quoted.from + 1 : context.matchBefore(/[\p{L}\p{N}_]*/u).from;
    const found = await ask({ do: "complete", text: context.state.doc.toString(), at: context.pos }, context.view, true);
    if (!found?.items.length) return null;
    const options = found.items.map(({ text, kind, detail, document }, number) => ({
      label: text, type: KINDS[kind] ?? "variable", detail: detail.length > 48 ? `${detail.slice(0, 47)}…` : detail,
      info: document || undefined, boost: Math.max(-99, 99 - number),
    }));
    return { from, options, validFor: quoted ? /^[\w./-]*$/ : /^[\p{L}\p{N}_]*$/u };
  };
  const base = () => [
    ...common(), arch, indentUnit.of("  "), bracketMatching(), highlightActiveLine(), highlightActiveLineGutter(),
    highlightSelectionMatches(), behind, near, keymap.of(keys),
  ];
  const own = (text) => EditorState.create({
    doc: text,
    extensions: [
      ...base(), history(), closeBrackets(), indentOnInput(), hover, lintGutter(),
      autocompletion({ override: [complete], icons: false }),
      keymap.of([...closeBracketsKeymap, ...completionKeymap, ...defaultKeymap, ...historyKeymap, ...searchKeymap, ...lintKeymap]),
      EditorView.contentAttributes.of({ "aria-label": "The text of the network", spellcheck: "false" }),
      EditorView.updateListener.of((update) => {
        if (update.docChanged) changed();
        if (update.selectionSet && !update.docChanged) moved(update.state.doc.lineAt(update.state.selection.main.head).number);
      }),
    ],
  });
  const read = (text) => EditorState.create({
    doc: text, extensions: [...base(), EditorState.readOnly.of(true), keymap.of([...defaultKeymap, ...searchKeymap])],
  });
  return { own, read };
};

/** A view of Python that is only read. */
export const reader = (parent) => new EditorView({
  parent,
  state: EditorState.create({
    extensions: [
      ...common(), python(), colours, EditorState.readOnly.of(true), keymap.of([...defaultKeymap, ...searchKeymap]),
      EditorView.contentAttributes.of({ "aria-label": "The PyTorch source" }),
    ],
  }),
});
