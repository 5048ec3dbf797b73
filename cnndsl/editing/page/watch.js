import { Figure } from "./figure.js";

const get = (id) => document.getElementById(id);
// In the extension for VS Code it is the editor that sends what is shown, and goes to lines.
const editor = globalThis.acquireVsCodeApi?.();
const lines = get("lines"), files = get("files");
let shown = {}, file = "";

const goto = (name, first, last) => {
  if (name !== file && shown.files?.[name] !== undefined) { file = name; source(); }
  for (const old of lines.querySelectorAll(".near")) old.classList.remove("near");
  const rows = [...lines.children].slice(first - 1, last);
  for (const row of rows) row.classList.add("near");
  rows[0]?.scrollIntoView({ block: "nearest" });
  editor?.postMessage({ cnndsl: "goto", file: name, line: first });
};
const figure = new Figure(get("figure"), goto);
const find = (name, line) => {
  for (const old of lines.querySelectorAll(".near")) old.classList.remove("near");
  if (name === file) lines.children[line - 1]?.classList.add("near");
  figure.find(name, line);
};

const short = (name) => name.split(/[\\/]/).pop();
const source = () => {
  files.replaceChildren(...Object.keys(shown.files ?? {}).map((name) => {
    const option = document.createElement("option");
    option.value = name;
    option.textContent = short(name);
    option.selected = name === file;
    return option;
  }));
  files.hidden = files.length < 2;
  const bad = new Set((shown.messages ?? []).filter((m) => m.file === file).map((m) => m.line));
  lines.replaceChildren(...(shown.files?.[file] ?? "").replace(/\n$/, "").split("\n").map((text, at) => {
    const row = document.createElement("li");
    row.textContent = text || " ";
    row.classList.toggle("bad", bad.has(at + 1));
    row.addEventListener("click", () => find(file, at + 1));
    return row;
  }));
};
const messages = () => {
  get("messages").hidden = !shown.messages?.length;
  get("messages").replaceChildren(...(shown.messages ?? []).map((message) => {
    const text = document.createElement("pre");
    text.className = message.severity;
    text.textContent = message.text.trimEnd();
    text.addEventListener("click", () => message.file && goto(message.file, message.line, message.line));
    return text;
  }));
};
const show = (next) => {
  shown = next;
  if (!file || shown.files?.[file] === undefined) file = shown.main;
  figure.show(shown.svg);
  get("figure").classList.toggle("stale", Boolean(shown.stale));
  get("name").textContent = shown.name ?? short(shown.main ?? "");
  document.title = `${get("name").textContent} – cnndsl`;
  get("costs").textContent = shown.costs ?? "";
  get("state").textContent = shown.stale ? "the last picture without faults" : `${shown.spent} ms`;
  get("state").classList.toggle("stale", Boolean(shown.stale));
  get("table").querySelector("pre").textContent = shown.table ?? "";
  source();
  messages();
  window.shown = (window.shown ?? 0) + 1;
};

const toggle = (button, panel) => get(button).addEventListener("click", () => {
  get(panel).hidden = !get(panel).hidden;
  get(button).setAttribute("aria-pressed", String(!get(panel).hidden));
});
toggle("side", "text");
toggle("totals", "table");
files.addEventListener("change", () => { file = files.value; source(); });
get("in").addEventListener("click", () => figure.zoom(1.25));
get("out").addEventListener("click", () => figure.zoom(0.8));
get("fit").addEventListener("click", () => figure.fit());
if (editor) {
  get("side").click(); // the source stands beside
  window.addEventListener("message", ({ data }) => {
    if (data.cnndsl === "shown") show(data.shown);
    if (data.cnndsl === "line") find(data.file, data.line);
  });
  editor.postMessage({ cnndsl: "ready" });
} else {
  const events = new EventSource("/events");
  events.onmessage = (event) => show(JSON.parse(event.data));
  events.onerror = () => {
    get("state").textContent = "cnndsl watch has ended";
    get("state").classList.add("stale");
  };
}
