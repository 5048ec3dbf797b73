// A figure whose boxes know the lines they are written on: `data-file`, `data-span`.
const span = (node) => node.dataset.span.split("-").map(Number);

export class Figure {
  /** `view` is the element that scrolls; `goto(file, first, last)` is told of a box that is chosen. */
  constructor(view, goto) {
    Object.assign(this, { view, goto, scale: 0, drawn: "" });
    new ResizeObserver(() => { if (!this.scale) this.resize(); }).observe(view);
  }

  get svg() { return this.view.querySelector("svg"); }

  /** Draw it, unless it is drawn already; the part that is seen stays. */
  show(text) {
    if (!text || text === this.drawn) return;
    const at = [this.view.scrollLeft, this.view.scrollTop];
    this.view.innerHTML = this.drawn = text;
    for (const node of this.view.querySelectorAll("g[data-span]")) {
      node.setAttribute("tabindex", "0");
      node.addEventListener("click", () => this.pick(node));
      node.addEventListener("keydown", (event) => { if (event.key === "Enter") this.pick(node); });
    }
    this.resize();
    this.view.scrollTo(...at);
  }

  resize() {
    if (!this.svg || !this.view.clientWidth) return;
    const box = this.svg.viewBox.baseVal;
    const style = getComputedStyle(this.view);
    const room = this.view.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    const width = this.scale ? box.width * this.scale : Math.min(room, box.width * 1.5);
    this.svg.setAttribute("width", width);
    this.svg.setAttribute("height", (width * box.height) / box.width);
  }

  zoom(factor) {
    if (!this.svg) return;
    const now = this.svg.width.baseVal.value / this.svg.viewBox.baseVal.width;
    this.scale = Math.min(Math.max(now * factor, 0.05), 8);
    this.resize();
  }

  fit() {
    this.scale = 0;
    this.resize();
  }

  clear() {
    for (const old of this.view.querySelectorAll(".near")) old.classList.remove("near");
  }

  pick(node) {
    this.clear();
    node.classList.add("near");
    this.goto(node.dataset.file, ...span(node));
  }

  /** Mark the boxes of a line: those that are written on the fewest lines around it. */
  find(file, line) {
    this.clear();
    let least = Infinity, found = [];
    for (const node of this.view.querySelectorAll("g[data-span]")) {
      const [first, last] = span(node);
      if (node.dataset.file !== file || line < first || line > last) continue;
      if (last - first < least) { least = last - first; found = []; }
      if (last - first === least) found.push(node);
    }
    for (const node of found) node.classList.add("near");
    found[0]?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
}
