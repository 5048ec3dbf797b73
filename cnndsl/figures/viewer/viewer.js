"use strict";
(() => {
  const stage = document.getElementById("stage");
  const svg = stage.querySelector("svg");
  const card = document.getElementById("card");
  const search = document.getElementById("search");
  const found = document.getElementById("found");
  const whole = svg.viewBox.baseVal;
  const home = { x: whole.x, y: whole.y, w: whole.width, h: whole.height };
  let view = { ...home };
  const nodes = [...svg.querySelectorAll("g.node")];
  const edges = [...svg.querySelectorAll("g.edge")];
  const show = () => svg.setAttribute("viewBox", `${view.x} ${view.y} ${view.w} ${view.h}`);
  const fit = () => { view = { ...home }; show(); };
  const zoom = (factor, px, py) => {
    const w = Math.min(Math.max(view.w * factor, 60), home.w * 4);
    const real = w / view.w;
    const x = px ?? view.x + view.w / 2, y = py ?? view.y + view.h / 2;
    view = { x: x - (x - view.x) * real, y: y - (y - view.y) * real, w, h: view.h * real };
    show();
  };
  const place = (event) => {
    const at = new DOMPoint(event.clientX, event.clientY);
    return at.matrixTransform(svg.getScreenCTM().inverse());
  };
  const look = (element) => {
    const box = element.getBBox();
    const w = Math.max(box.width * 1.3, 300), h = w * home.h / home.w;
    view = { x: box.x + box.width / 2 - w / 2, y: box.y + box.height / 2 - Math.max(h, box.height * 1.2) / 2, w, h: Math.max(h, box.height * 1.2) };
    show();
  };
  const text = (node, tag) => [...node.children].find((c) => c.tagName === tag)?.textContent ?? "";
  const tell = (node) => {
    const rule = node.dataset.facts ? `\n\n${node.dataset.facts}` : "";
    card.textContent = `${text(node, "title")}\n${text(node, "desc").split(" · ").join("\n")}${rule}`;
    card.hidden = false;
    for (const edge of edges) {
      edge.classList.toggle("near", edge.dataset.from === node.id || edge.dataset.to === node.id);
    }
  };
  const hush = () => {
    card.hidden = true;
    for (const edge of edges) edge.classList.remove("near");
  };
  const shut = () => {
    const shown = [...svg.querySelectorAll("g.inset.shown")];
    for (const inset of shown) inset.classList.remove("shown");
    return shown.length > 0;
  };
  const open = (node) => {
    shut();
    const inset = node.dataset.opens && document.getElementById(node.dataset.opens);
    if (inset) { inset.classList.add("shown"); look(inset); } else { look(node); }
  };
  nodes.forEach((node, index) => {
    node.setAttribute("tabindex", index ? "-1" : "0");
    node.setAttribute("role", node.dataset.opens ? "button" : "img");
    node.setAttribute("aria-label", `${text(node, "title")}, ${text(node, "desc")}`);
    node.addEventListener("pointerenter", () => tell(node));
    node.addEventListener("pointerleave", hush);
    node.addEventListener("focus", () => tell(node));
    node.addEventListener("click", () => { if (!moved) open(node); });
    node.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
      if (step) {
        nodes[(index + step + nodes.length) % nodes.length].focus();
        event.preventDefault(); event.stopPropagation();
      } else if (event.key === "Enter" || event.key === " ") {
        open(node); event.preventDefault();
      }
    });
  });
  // A block of that name before one whose name has it, and both before what only says it.
  const rank = (node) => {
    const wanted = search.value.trim().toLowerCase();
    const title = text(node, "title").toLowerCase().replace(/ ×\d+$/, "");
    const place = title === wanted ? 0 : title.startsWith(wanted) ? 1 : title.includes(wanted) ? 2 : 3;
    return 2 * place + (node.dataset.opens ? 0 : 1);
  };
  search.addEventListener("input", () => {
    const wanted = search.value.trim().toLowerCase();
    let count = 0;
    for (const node of nodes) {
      const hit = wanted && `${text(node, "title")} ${text(node, "desc")} ${node.dataset.facts ?? ""}`.toLowerCase().includes(wanted);
      node.classList.toggle("found", Boolean(hit));
      node.classList.toggle("dim", Boolean(wanted) && !hit);
      if (hit) count += 1;
    }
    found.textContent = wanted ? `${count} found` : "";
    // All that is found is seen; Enter goes to the first.
    fit();
  });
  search.addEventListener("keydown", (event) => {
    const best = nodes.filter((node) => node.classList.contains("found")).sort((a, b) => rank(a) - rank(b))[0];
    if (event.key === "Enter" && best) { look(best); best.focus(); }
    event.stopPropagation();
    if (event.key === "Escape") { search.value = ""; search.dispatchEvent(new Event("input")); stage.focus(); }
  });
  let drag = null, pressed = null, moved = false, spread = 0;
  const fingers = new Map();
  const apart = () => {
    const [a, b] = [...fingers.values()];
    return Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
  };
  stage.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    fingers.set(event.pointerId, event);
    if (fingers.size === 2) { drag = null; moved = true; spread = apart(); return; }
    drag = place(event); pressed = event; moved = false;
  });
  window.addEventListener("pointermove", (event) => {
    if (fingers.has(event.pointerId)) fingers.set(event.pointerId, event);
    if (fingers.size === 2) {
      const [a, b] = [...fingers.values()], now = apart();
      const at = place({ clientX: (a.clientX + b.clientX) / 2, clientY: (a.clientY + b.clientY) / 2 });
      if (now > 0) zoom(spread / now, at.x, at.y);
      spread = now;
      return;
    }
    if (!drag) return;
    const now = place(event);
    // From where it was pressed: a slow drag is no click either.
    if (Math.hypot(event.clientX - pressed.clientX, event.clientY - pressed.clientY) > 4) moved = true;
    if (!moved) return;
    view.x += drag.x - now.x; view.y += drag.y - now.y;
    show();
  });
  for (const end of ["pointerup", "pointercancel"]) {
    window.addEventListener(end, (event) => { fingers.delete(event.pointerId); drag = null; });
  }
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    const at = place(event);
    zoom(Math.exp(event.deltaY * 0.0015), at.x, at.y);
  }, { passive: false });
  document.getElementById("in").addEventListener("click", () => zoom(0.8));
  document.getElementById("out").addEventListener("click", () => zoom(1.25));
  document.getElementById("fit").addEventListener("click", fit);
  document.addEventListener("keydown", (event) => {
    if (event.target === search || event.ctrlKey || event.metaKey || event.altKey) return;
    const pan = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.key === "/") { search.focus(); event.preventDefault(); }
    else if (event.key === "+" || event.key === "=") zoom(0.8);
    else if (event.key === "-") zoom(1.25);
    else if (event.key === "0") fit();
    else if (event.key === "Escape") { hush(); if (shut()) fit(); }
    else if (pan) { view.x += pan[0] * view.w * 0.1; view.y += pan[1] * view.h * 0.1; show(); }
  });
  window.addEventListener("beforeprint", fit);
})();
