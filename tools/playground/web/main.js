// The page: the text on the left, what it means on the right.
import { EditorView } from "@codemirror/view";
import { Figure } from "../../../cnndsl/editing/page/figure.js";
import { annotate, apply, editing, followNight, reader, replace, reveal, unmark } from "./editor.js";
import { packed, unpacked } from "./link.js";
import { Python } from "./python.js";

const get = (id) => document.getElementById(id);
const VIEWS = ["text", "figure", "scale", "summary", "torch"];
const FIRST = "mobilenetv2";
const MIN_WIDTH = 320, QUIET = 60, PATIENCE = 8000;
const work = { name: FIRST, text: "", model: null, settings: {} };
let shown = "figure", found = null, zoo = null;
let checkedText = null, checks = 0, fresh = new Set(), began = 0;

// The text

const python = new Python((reason) => {
  say(reason, "bad");
  busy = false;
});
/** Ask of the text in sight; null where the last check is of another one, but for `anyway`. */
const ask = async (question, view, anyway) => {
  if (other || (!anyway && view.state.doc.toString() !== checkedText)) return null;
  return python.ask(question).catch(() => null);
};
const keys = [
  { key: "Mod-s", run: () => { layOut(); return true; } },
  { key: "F12", run: (view) => { define(view.state.selection.main.head); return true; } },
];
const states = editing({
  ask,
  keys,
  changed: () => { work.text = view.state.doc.toString(); later(); },
  moved: (line) => { unmarkSoon(); if (found && shown === "figure") figure.find(found.main, line); },
});
const view = new EditorView({ state: states.own(""), parent: get("editor") });
const torch = reader(get("torch"));
followNight(view, torch);
// `other` is the file that stands in the editor's place, with the state of the text meanwhile.
let other = null;
const unmarkSoon = () => queueMicrotask(() => unmark(view));

view.contentDOM.addEventListener("mousedown", (event) => {
  if (!(event.ctrlKey || event.metaKey)) return;
  const at = view.posAtCoords(event);
  if (at !== null) { event.preventDefault(); define(at); }
});

const back = () => {
  if (!other) return;
  view.setState(other.own);
  other = null;
  get("file").hidden = true;
};
const goto = async (file, first, last = first, focus = false) => {
  if (matchMedia("(max-width: 760px)").matches) choose("text");
  if (!found || file === found.main) back();
  else if (other?.file !== file) {
    const { text } = await python.ask({ do: "read", file });
    if (text === undefined) return;
    const own = other?.own ?? view.state;
    other = { file, own };
    view.setState(states.read(text));
    get("file").hidden = false;
    get("file").lastElementChild.textContent = `${file.replace(/^.*\/archs\//, "")}, shipped: read only`;
  }
  reveal(view, first, last, focus);
};
const define = async (at) => {
  const place = await ask({ do: "define", at }, view);
  if (place?.file) goto(place.file, place.line, place.line, true);
};
const layOut = async () => {
  if (other) return;
  const text = view.state.doc.toString();
  const laid = await python.ask({ do: "layout", text }).catch(() => ({ text }));
  if (view.state.doc.toString() === text) replace(view, laid.text);
};

// Checking: one at a time, always of the newest text

let timer = 0, busy = false, again = false, slow = 0;
const later = () => {
  clearTimeout(timer);
  timer = setTimeout(refresh, QUIET);
};
const refresh = async () => {
  again = true;
  if (busy) return;
  busy = true;
  slow = setTimeout(offerStop, PATIENCE);
  try {
    while (again) {
      again = false;
      began = performance.now();
      await check();
    }
  } catch (error) {
    say(error.message, "bad");
  } finally {
    clearTimeout(slow);
    busy = false;
  }
};
const check = async () => {
  const { text, name, model, settings } = work;
  const answer = await python.ask({ do: "check", text, name, model, settings });
  if (again || work.text !== text) return;
  found = answer;
  checkedText = text;
  checks++;
  if (!other) annotate(view, found);
  messages();
  choices();
  link();
  get("figure").classList.toggle("stale", !found.fresh);
  get("scale").classList.toggle("stale", !found.fresh);
  if (found.fresh) {
    document.title = `${found.title} – cnndsl playground`;
    fresh = new Set();
    await fill();
  } else say(found.messages.length ? "the last without faults is shown" : "", "bad");
  document.body.dataset.checked = checks;
};
/** The figure is laid out for the room that it has. */
const room = () => Math.max(MIN_WIDTH, get("figure").clientWidth - 32);
const QUESTIONS = {
  figure: () => ({ do: "figure", width: (laidFor = room()) }),
  scale: () => ({ do: "figure", style: "scale" }),
  summary: () => ({ do: "summary" }),
  torch: () => ({ do: "torch" }),
};
let laidFor = 0;
/** What the view in sight shows, made anew where the network is another. */
const fill = async () => {
  if (!found?.fresh || fresh.has(shown) || shown === "text") {
    if (found?.fresh) cost();
    return;
  }
  const view = shown;
  const answer = await python.ask(QUESTIONS[view]());
  fresh.add(view);
  if (answer.fault) return say(answer.fault, "bad");
  if (view === "figure") figure.show(answer.svg);
  else if (view === "scale") scale.show(answer.svg);
  else if (view === "summary") get("summary").textContent = answer.text;
  else replace(torch, answer.text);
  cost();
};
const cost = () => {
  const spent = Math.round(performance.now() - began);
  say(`${found.costs}${checks > 1 ? ` · ${spent} ms` : ""}`);
  document.body.dataset.spent = spent;
};
const say = (text, kind = "") => {
  get("state").textContent = text;
  get("state").className = kind;
};
const offerStop = () => {
  const stop = document.createElement("button");
  stop.textContent = "Stop";
  stop.addEventListener("click", () => {
    python.stop("stopped: change the text to go on");
    view.focus();
  });
  get("state").replaceChildren("still at work ", stop);
};

const messages = () => {
  get("messages").hidden = !found.messages.length;
  get("messages").replaceChildren(...found.messages.map((message) => {
    const row = document.createElement("div");
    row.className = message.severity;
    const text = document.createElement("pre");
    text.textContent = message.whole.trimEnd();
    text.tabIndex = 0;
    const go = () => {
      if (!message.here) return;
      back();
      choose(shown === "text" ? "text" : shown);
      view.dispatch({ selection: { anchor: message.place[0] }, scrollIntoView: true });
      view.focus();
    };
    text.addEventListener("click", go);
    text.addEventListener("keydown", (event) => event.key === "Enter" && go());
    row.append(text);
    if (message.mend) {
      const mend = document.createElement("button");
      mend.textContent = message.mend.title;
      mend.addEventListener("click", () => { back(); apply(view, message.mend); view.focus(); });
      row.append(mend);
    }
    return row;
  }));
};

// What can be set

const choices = () => {
  if (!found.models) return;
  get("model-box").hidden = found.models.length < 2;
  get("model").replaceChildren(...found.models.map((name) => new Option(name, name, false, name === work.model)));
  const box = get("settings");
  if (box.contains(document.activeElement)) return;
  box.replaceChildren(...found.parameters.map(({ name, text, default: usual }) => {
    const label = document.createElement("label");
    label.title = text;
    const input = document.createElement("input");
    Object.assign(input, { value: work.settings[name] ?? "", placeholder: usual, name, autocomplete: "off", spellcheck: false });
    input.size = Math.max(4, Math.min(12, Math.max(usual.length, input.value.length) + 1));
    input.addEventListener("input", () => {
      if (input.value.trim()) work.settings[name] = input.value.trim();
      else delete work.settings[name];
      later();
    });
    label.append(name, input);
    return label;
  }));
};
get("model").addEventListener("change", () => {
  work.model = get("model").value;
  work.settings = {};
  later();
});

// Views

const figure = new Figure(get("figure"), goto);
const scale = new Figure(get("scale"), goto);
const choose = (name) => {
  shown = name;
  const narrow = matchMedia("(max-width: 760px)").matches;
  document.body.dataset.view = name;
  for (const each of VIEWS) {
    const tab = get(`tab-${each}`);
    tab.setAttribute("aria-selected", String(each === name));
    tab.tabIndex = each === name ? 0 : -1;
    if (each !== "text" || narrow) get(each).hidden = each !== name;
  }
  get("text").hidden = narrow && name !== "text";
  get("views").hidden = narrow && name === "text";
  get("zoom").hidden = name !== "figure" && name !== "scale";
  if (busy) return;
  began = performance.now();
  fill().catch((error) => say(error.message, "bad"));
};
const tabs = () => VIEWS.filter((name) => get(`tab-${name}`).offsetParent);
for (const name of VIEWS) {
  get(`tab-${name}`).addEventListener("click", () => choose(name));
  get(`tab-${name}`).addEventListener("keydown", ({ key }) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
    if (!step) return;
    const all = tabs();
    const next = all[(all.indexOf(name) + step + all.length) % all.length];
    choose(next);
    get(`tab-${next}`).focus();
  });
}
addEventListener("keydown", (event) => {
  if (event.altKey && event.key >= "1" && event.key <= "5") {
    event.preventDefault();
    choose(VIEWS[Number(event.key) - 1]);
  }
  if ((event.ctrlKey || event.metaKey) && event.key === "s") event.preventDefault();
});
matchMedia("(max-width: 760px)").addEventListener("change", () => choose(shown === "text" ? "figure" : shown));
let resized = 0;
new ResizeObserver(() => {
  clearTimeout(resized);
  resized = setTimeout(() => {
    if (shown !== "figure" || !found?.fresh || busy || Math.abs(room() - laidFor) < 24) return;
    fresh.delete("figure");
    began = performance.now();
    fill().catch((error) => say(error.message, "bad"));
  }, 200);
}).observe(get("figure"));
const drawn = () => (shown === "scale" ? scale : figure);
get("in").addEventListener("click", () => drawn().zoom(1.25));
get("out").addEventListener("click", () => drawn().zoom(0.8));
get("fit").addEventListener("click", () => drawn().fit());
get("back").addEventListener("click", back);

const divide = (share) => document.body.style.setProperty("--left", `${Math.min(80, Math.max(20, share))}%`);
const share = () => (100 * get("text").offsetWidth) / document.body.clientWidth;
get("divider").addEventListener("pointerdown", (event) => {
  event.preventDefault();
  get("divider").setPointerCapture(event.pointerId);
  const move = ({ clientX }) => divide((100 * clientX) / document.body.clientWidth);
  get("divider").addEventListener("pointermove", move);
  get("divider").addEventListener("pointerup", () => get("divider").removeEventListener("pointermove", move), { once: true });
});
get("divider").addEventListener("keydown", ({ key }) => {
  const step = { ArrowRight: 2, ArrowLeft: -2 }[key];
  if (step) divide(share() + step);
});

// Files and links

const load = (next) => {
  back();
  Object.assign(work, { model: null, settings: {} }, next, { text: next.text.replace(/^\uFEFF/, "").replace(/\r\n?/g, "\n") });
  view.setState(states.own(work.text));
  get("settings").replaceChildren();
  figure.fit();
  scale.fit();
  document.body.dataset.name = work.name;
  refresh();
};
const shipped = async (name) => {
  const [text, svg] = await Promise.all(["arch", "svg"].map((kind) => fetch(`zoo/${name}.${kind}`).then((a) => a.text())));
  figure.show(svg);
  load({ name, text });
  original = text;
};
let original = null, linked = "";
const link = async () => {
  const plain = work.text === original && !work.model && !Object.keys(work.settings).length;
  linked = plain ? `#${work.name}` : await packed(work);
  if (location.hash !== linked) history.replaceState(null, "", linked);
};
const arrive = async () => {
  const hash = location.hash;
  const given = await unpacked(hash);
  zoo ??= await fetch("zoo.json").then((answer) => answer.json());
  if (given) return load(given);
  const name = zoo.some((each) => each.name === hash.slice(1)) ? hash.slice(1) : FIRST;
  await shipped(name);
  if (hash.startsWith("#code=")) say("the link is cut: it cannot be read", "bad");
};
addEventListener("hashchange", () => { if (location.hash !== linked) arrive(); });
get("layout").addEventListener("click", layOut);
get("link").addEventListener("click", async () => {
  await link();
  const told = await navigator.clipboard.writeText(location.href).then(() => "copied", () => "it is in the address bar");
  get("link").textContent = told;
  setTimeout(() => { get("link").textContent = "Link"; }, 1500);
});
const made = async (question) => {
  const answer = await python.ask(question);
  if (answer.fault) throw new Error(answer.fault);
  return answer.text ?? answer.svg;
};
const saving = {
  arch: async () => work.text,
  py: () => made({ do: "torch" }),
  svg: () => made({ ...QUESTIONS[shown === "scale" ? "scale" : "figure"](), width: 0, spans: false }),
};
for (const button of document.querySelectorAll("[data-save]")) {
  button.addEventListener("click", async () => {
    const kind = button.dataset.save;
    get("save").open = false;
    try {
      const text = await saving[kind]();
      const address = URL.createObjectURL(new Blob([text], { type: kind === "svg" ? "image/svg+xml" : "text/plain" }));
      Object.assign(document.createElement("a"), { href: address, download: `${work.name}.${kind}` }).click();
      setTimeout(() => URL.revokeObjectURL(address), 1000);
    } catch (error) {
      say(error.message, "bad");
    }
  });
}
document.addEventListener("click", (event) => { if (!get("save").contains(event.target)) get("save").open = false; });
get("save").addEventListener("keydown", (event) => {
  if (event.key === "Escape") { get("save").open = false; get("save").firstElementChild.focus(); }
});

// The gallery

const card = ({ name, cited, costs }) => {
  const made = document.createElement("button");
  made.className = "card";
  made.dataset.name = name;
  const image = Object.assign(new Image(), { loading: "lazy", alt: "", src: `zoo/${name}.svg` });
  const lines = [["strong", name], ["span", cited], ["span", costs]].map(([tag, text]) => {
    const line = document.createElement(tag);
    line.textContent = text;
    return line;
  });
  made.append(image, ...lines);
  made.addEventListener("click", () => { get("gallery").close(); shipped(name); });
  return made;
};
get("open").addEventListener("click", () => {
  if (!get("cards").childElementCount) get("cards").append(...zoo.map(card));
  get("gallery").showModal();
  get("wanted").select();
});
get("wanted").addEventListener("input", () => {
  const wanted = get("wanted").value.toLowerCase();
  for (const each of get("cards").children) {
    each.hidden = !each.textContent.toLowerCase().includes(wanted);
    each.style.order = each.dataset.name.startsWith(wanted) ? -1 : 0;
  }
});
get("wanted").addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  event.preventDefault();
  const found = [...get("cards").querySelectorAll(".card:not([hidden])")];
  (found.find((each) => each.style.order === "-1") ?? found[0])?.click();
});
get("gallery").addEventListener("click", (event) => { if (event.target === get("gallery")) get("gallery").close(); });

choose("figure");
arrive().catch((error) => say(error.message, "bad"));
