// The colours of `.arch`; its words come from the grammar and the operations, by the build.
import { HighlightStyle, StreamLanguage, syntaxHighlighting } from "@codemirror/language";
import { tags } from "@lezer/highlight";

/* global WORDS */
const known = Object.fromEntries(Object.entries(WORDS).map(([kind, words]) => [kind, new Set(words)]));
const NAME = /^[\p{L}_][\p{L}\p{N}_]*/u;

export const language = StreamLanguage.define({
  name: "arch",
  startState: () => ({ doc: false, last: "" }),
  token(stream, state) {
    if (state.doc || stream.match('"""')) {
      state.doc = !stream.match(/^.*?"""/);
      if (state.doc) stream.skipToEnd();
      return "docString";
    }
    if (stream.eatSpace()) return null;
    if (stream.match(/^#.*/)) return "comment";
    if (stream.match(/^"[^"]*"?/)) return "string";
    if (stream.match(/^\d+(?:x\d+)+/) || stream.match(/^\d[\d_]*(?:\.\d+)?(?:e[+-]?\d+)?[kMGTP]?\b/i)) return "number";
    const found = stream.match(NAME);
    const last = state.last;
    if (!found) {
      const sign = stream.match(/^(?:->|\.\.|[<>=!]=|\/\/|\*\*)/) ? "->" : stream.next();
      state.last = sign;
      return sign === "@" ? "meta" : "()[]{},;:.|".includes(sign) ? "punctuation" : "operator";
    }
    const word = (state.last = found[0]);
    if (last === "@") return "meta";
    if (last === "model" || last === "block") return "typeName";
    if (last !== "." && known.declaring.has(word)) return "definitionKeyword";
    if (last !== "." && known.keywords.has(word)) return "keyword";
    if (stream.match(/^(?:\[[^\]]*\])?\s*(?:,\s*[\w[\]]+\s*)*:(?!=)/, false)) return "labelName";
    if (stream.match(/^\s*=(?!=)/, false)) return "propertyName";
    if (last === ":" && known.types.has(word)) return "typeOperator";
    if (known.words.has(word)) return "atom";
    if (last !== "." && known.operations.has(word)) return "operationName";
    if (last !== "." && known.functions.has(word)) return "operationName";
    return last !== "." && /^[A-Z]\w/.test(word) ? "typeName" : "variableName";
  },
  tokenTable: { operationName: tags.function(tags.variableName) },
  languageData: { commentTokens: { line: "#" }, closeBrackets: { brackets: ["(", "[", "{", '"'] }, indentOnInput: /^\s*\}$/ },
  indent(_, after, context) {
    const before = context.lineAt(context.pos, -1).text;
    const above = /^\s*/.exec(before)[0].length;
    const opens = /[{(]\s*(#.*)?$/.test(before) && !/^\s*[})]/.test(after);
    const closes = /^\s*[})]/.test(after) && !/[{(]\s*(#.*)?$/.test(before);
    return Math.max(0, above + (opens ? 2 : closes ? -2 : 0));
  },
});

const colour = (name) => `var(--${name})`;
export const style = HighlightStyle.define([
  { tag: [tags.comment, tags.docString], color: colour("comment"), fontStyle: "italic" },
  { tag: tags.string, color: colour("string") },
  { tag: [tags.number, tags.atom, tags.bool], color: colour("number") },
  { tag: [tags.keyword, tags.definitionKeyword], color: colour("keyword") },
  { tag: tags.typeName, color: colour("type") },
  { tag: tags.labelName, color: colour("label") },
  { tag: [tags.function(tags.variableName), tags.function(tags.definition(tags.variableName))], color: colour("operation") },
  { tag: [tags.propertyName, tags.typeOperator], color: colour("property") },
  { tag: tags.meta, color: colour("meta") },
  { tag: [tags.operator, tags.punctuation], color: colour("sign") },
]);

export const colours = syntaxHighlighting(style);
export const arch = [language, colours];
