"use strict";
(() => {
  const get = (id) => document.getElementById(id);
  const figure = get("figure"), lines = get("lines"), files = get("files");
  let shown = {}, file = "", scale = 0, drawn = "";

  const resize = () => {
    const svg = figure.querySelector("svg");
    if (!svg) return;
    const box = svg.viewBox.baseVal;
    const room = figure.clientWidth - 32;
    const width = scale ? box.width * scale : Math.min(room, box.width * 1.5);
    svg.setAttribute("width", width);
    svg.setAttribute("height", (width * box.height) / box.width);
  };
  const zoom = (factor) => {
    const svg = figure.querySelector("svg");
    if (!svg) return;
    const now = svg.width.baseVal.value / svg.viewBox.baseVal.width;
    scale = Math.min(Math.max(now * factor, 0.05), 8);
    resize();
  };

  const span = (node) => node.dataset.span.split("-").map(Number);
  const clear = () => { for (const old of document.querySelectorAll(".near")) old.classList.remove("near"); };

  const goto = (name, first, last) => {
    if (name !== file && shown.files?.[name] !== undefined) { file = name; source(); }
    for (const old of lines.querySelectorAll(".near")) old.classList.remove("near");
    const rows = [...lines.children].slice(first - 1, last);
    for (const row of rows) row.classList.add("near");
    rows[0]?.scrollIntoView({ block: "nearest" });
    if (window.parent !== window) {
      window.parent.postMessage({ cnndsl: "goto", file: name, line: first }, "*");
    }
  };
  const pick = (node) => {
    clear();
    node.classList.add("near");
    goto(node.dataset.file, ...span(node));
  };
  // The boxes of a line: those that are written on the fewest lines around it.
  const boxes = (name, line) => {
    let least = Infinity, found = [];
    for (const node of figure.querySelectorAll("g[data-span]")) {
      const [first, last] = span(node);
      if (node.dataset.file !== name || line < first || line > last) continue;
      if (last - first < least) { least = last - first; found = []; }
      if (last - first === least) found.push(node);
    }
    return found;
  };
  const find = (name, line) => {
    clear();
    lines.children[line - 1]?.classList.add("near");
    const found = boxes(name, line);
    for (const node of found) node.classList.add("near");
    found[0]?.scrollIntoView({ block: "nearest", inline: "nearest" });
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
    if (shown.svg && shown.svg !== drawn) {
      const at = [figure.scrollLeft, figure.scrollTop];
      figure.innerHTML = drawn = shown.svg;
      for (const node of figure.querySelectorAll("g[data-span]")) {
        node.setAttribute("tabindex", "0");
        node.addEventListener("click", () => pick(node));
        node.addEventListener("keydown", (event) => { if (event.key === "Enter") pick(node); });
      }
      resize();
      figure.scrollTo(...at);
    }
    figure.classList.toggle("stale", Boolean(shown.stale));
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
    if (!scale) resize();
  });
  toggle("side", "text");
  toggle("totals", "table");
  files.addEventListener("change", () => { file = files.value; source(); });
  get("in").addEventListener("click", () => zoom(1.25));
  get("out").addEventListener("click", () => zoom(0.8));
  get("fit").addEventListener("click", () => { scale = 0; resize(); });
  window.addEventListener("resize", () => { if (!scale) resize(); });
  // An editor around this page says where its cursor is.
  window.addEventListener("message", (event) => {
    if (event.source === window.parent && event.data?.cnndsl === "line") find(event.data.file, event.data.line);
  });

  const events = new EventSource("/events");
  events.onmessage = (event) => show(JSON.parse(event.data));
  events.onerror = () => {
    get("state").textContent = "cnndsl watch has ended";
    get("state").classList.add("stale");
  };
})();
