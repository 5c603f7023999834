// The graph of a flow on a canvas: the server says where everything is, this draws it, moves it and colours it anew.
"use strict";
{
  const canvas = document.getElementById("graph");
  const note = document.getElementById("graph-note"), tip = document.getElementById("graph-tip"), find = document.getElementById("graph-find");
  const paper = canvas.getContext("2d");
  let graph = null, view = { x: 0, y: 0, scale: 1 }, closed = null, found = null, due = false, colours = {}, index = new Map();

  const CURVES = { output: [], replaced: [5, 4], added: [2, 3] };

  // -- reading ---------------------------------------------------------------------------------------------------

  async function read(keep) {
    const query = closed === null ? "" : `?closed=${encodeURIComponent([...closed].join(","))}`;
    try {
      const answer = await fetch(canvas.dataset.source + query, { headers: { Accept: "application/json" } });
      const content = await answer.json();
      if (!answer.ok) throw new Error(content.error);
      graph = content;
    } catch (error) {
      note.textContent = `The graph cannot be read: ${error.message}`;
      return;
    }
    closed = new Set(graph.closed);
    index = new Map(graph.nodes.map((node, at) => [node.key, at]));
    for (const edge of graph.edges) edge.push(edgeOf(graph.nodes[edge[0]].box, graph.nodes[edge[1]].box));
    say();
    if (!keep) fit();
    draw();
  }

  function edgeOf([x, y, width, height], [left, top, , tall]) {
    const from = [x + width, y + height / 2], to = [left, top + tall / 2], bend = Math.max(20, Math.abs(to[0] - from[0]) / 2);
    return [from[0], from[1], from[0] + bend, from[1], to[0] - bend, to[1], to[0], to[1]];
  }

  function say() {
    const hidden = Object.keys(graph.hidden).length, jobs = graph.nodes.filter((node) => node.key).length + hidden;
    note.textContent = `${jobs} jobs${hidden ? `, ${hidden} of them in closed flows (click one to open it)` : ""}`;
    canvas.dataset.ready = String(jobs);
    delete canvas.dataset.painted;  // what is painted is not this yet
  }

  // -- drawing ---------------------------------------------------------------------------------------------------

  function readColours() {
    const style = getComputedStyle(document.documentElement);
    const value = (name) => style.getPropertyValue(`--${name}`).trim();
    colours = { card: value("card"), ink: value("ink"), muted: value("muted"), line: value("line"), soft: value("soft"), accent: value("accent") };
    for (const shade of ["grey", "cyan", "blue", "green", "red", "orange", "violet"])
      colours[shade] = { back: value(shade), ink: value(`${shade}-ink`), fill: value(`${shade}-fill`) };
  }

  function draw() {
    if (due) return;
    due = true;
    requestAnimationFrame(() => { due = false; paint(); });
  }

  function paint() {
    const began = performance.now(), ratio = devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio))
      [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    paper.setTransform(ratio, 0, 0, ratio, 0, 0);
    paper.clearRect(0, 0, width, height);
    if (!graph) return;
    paper.setTransform(ratio * view.scale, 0, 0, ratio * view.scale, ratio * view.x, ratio * view.y);
    const seen = { left: -view.x / view.scale, top: -view.y / view.scale, right: (width - view.x) / view.scale, bottom: (height - view.y) / view.scale };
    const inView = ([x, y, wide, high]) => x < seen.right && x + wide > seen.left && y < seen.bottom && y + high > seen.top;
    for (const flow of graph.flows) if (inView(flow.box)) paintFlow(flow);
    paintEdges(seen);
    for (const node of graph.nodes) if (inView(node.box)) paintNode(node);
    canvas.dataset.painted = (performance.now() - began).toFixed(1);
  }

  function paintFlow(flow) {
    const [x, y, width, height] = flow.box;
    paper.fillStyle = colours.soft;
    paper.strokeStyle = colours.line;
    paper.lineWidth = 1;
    paper.globalAlpha = 0.6;
    paper.fillRect(x, y, width, height);
    paper.globalAlpha = 1;
    paper.strokeRect(x, y, width, height);
    if (view.scale < 0.35) return;
    paper.fillStyle = colours.muted;
    paper.font = "11px system-ui, sans-serif";
    paper.fillText(`▾ ${flow.name}, ${flow.jobs} jobs`, x + 8, y + 15);
  }

  function paintEdges(seen) {
    paper.strokeStyle = colours.muted;
    paper.globalAlpha = graph.edges.length > 2000 ? 0.35 : 0.6;
    paper.lineWidth = Math.max(1, 0.6 / view.scale);
    for (const kind of Object.keys(CURVES)) {
      paper.setLineDash(CURVES[kind]);
      paper.beginPath();
      for (const [, , what, line] of graph.edges) {
        if (what !== kind || Math.min(line[0], line[6]) > seen.right || Math.max(line[0], line[6]) < seen.left) continue;
        if (Math.min(line[1], line[7]) > seen.bottom || Math.max(line[1], line[7]) < seen.top) continue;
        paper.moveTo(line[0], line[1]);
        if (view.scale < 0.12) paper.lineTo(line[6], line[7]);
        else paper.bezierCurveTo(line[2], line[3], line[4], line[5], line[6], line[7]);
      }
      paper.stroke();
    }
    paper.setLineDash([]);
    paper.globalAlpha = 1;
  }

  function paintNode(node) {
    const [x, y, width, height] = node.box, shade = colours[graph.shades[node.state]] || colours.grey;
    const dim = found && !found.has(node) ? 0.2 : node.superseded ? 0.5 : 1;
    paper.globalAlpha = dim;
    if (view.scale < 0.25 && !node.counts) {
      paper.fillStyle = shade.fill;
      paper.fillRect(x, y, width, height);
      paper.globalAlpha = 1;
      return;
    }
    paper.fillStyle = node.counts ? colours.card : shade.back;
    paper.strokeStyle = found?.has(node) ? colours.accent : node.counts ? colours.muted : shade.fill;
    paper.lineWidth = found?.has(node) ? 3 : 1.25;
    paper.beginPath();
    paper.roundRect(x, y, width, height, 7);
    paper.fill();
    paper.stroke();
    if (node.counts) paintCounts(node);
    if (view.scale >= 0.25) paintText(node, shade);
    paper.globalAlpha = 1;
  }

  function paintCounts(node) {
    const [x, y, width, height] = node.box, total = Object.values(node.counts).reduce((one, other) => one + other, 0);
    let at = x + 8;
    for (const [state, number] of Object.entries(node.counts)) {
      const part = ((width - 16) * number) / total;
      paper.fillStyle = (colours[graph.shades[state]] || colours.grey).fill;
      paper.fillRect(at, y + height - 12, part, 6);
      at += part;
    }
  }

  function paintText(node, shade) {
    const [x, y, width] = node.box, room = Math.floor((width - 16) / 7);
    const cut = (text) => (text.length > room ? `${text.slice(0, room - 1)}…` : text);
    paper.fillStyle = node.counts ? colours.ink : shade.ink;
    paper.font = "600 12px system-ui, sans-serif";
    paper.fillText(cut(node.counts ? `▸ ${node.name}` : node.name), x + 8, y + 17);
    if (node.counts) return;
    paper.font = "11px system-ui, sans-serif";
    paper.fillText(cut(`${node.id} · ${node.state}`), x + 8, y + 33);
  }

  // -- moving ----------------------------------------------------------------------------------------------------

  function fit() {
    const [width, height] = graph.size;
    let scale = Math.min(canvas.clientWidth / width, canvas.clientHeight / height, 1.2);
    const long = scale < 0.3 && height * 0.65 < canvas.clientHeight;  // a chain: its beginning can be read
    if (long) scale = 0.65;
    view = { scale, x: long ? 12 : (canvas.clientWidth - width * scale) / 2, y: (canvas.clientHeight - height * scale) / 2 };
    draw();
  }

  function zoom(factor, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) {
    const scale = Math.min(4, Math.max(0.01, view.scale * factor)), change = scale / view.scale;
    view = { scale, x: x - (x - view.x) * change, y: y - (y - view.y) * change };
    draw();
  }

  function move(x, y) {
    view.x += x;
    view.y += y;
    draw();
  }

  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  function under(event) {
    if (!graph) return {};
    const [left, top] = at(event), x = (left - view.x) / view.scale, y = (top - view.y) / view.scale;
    const hit = ([boxX, boxY, width, height]) => x >= boxX && x <= boxX + width && y >= boxY && y <= boxY + height;
    const node = graph.nodes.find((each) => hit(each.box));
    const flow = node ? null : graph.flows.findLast((each) => hit([each.box[0], each.box[1], each.box[2], 22]));
    return { node, flow };
  }

  const fingers = new Map();
  let moved = 0;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, at(event));
    moved = 0;
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId), now = at(event);
    if (!before) return hover(event);
    if (fingers.size === 2) {
      const other = [...fingers].find(([id]) => id !== event.pointerId)[1];
      const length = (one) => Math.hypot(one[0] - other[0], one[1] - other[1]);
      zoom(length(now) / Math.max(1, length(before)), other[0], other[1]);
    } else move(now[0] - before[0], now[1] - before[1]);
    moved += Math.abs(now[0] - before[0]) + Math.abs(now[1] - before[1]);
    fingers.set(event.pointerId, now);
    return undefined;
  });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => fingers.delete(event.pointerId));
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY * 0.0015), ...at(event));
  }, { passive: false });
  canvas.addEventListener("click", (event) => {
    if (moved > 5) return;
    const { node, flow } = under(event);
    if (node?.flow) { closed.delete(node.flow); read(true); }
    else if (node) location.href = canvas.dataset.jobs + encodeURIComponent(node.id);
    else if (flow) { closed.add(flow.uuid); read(true); }
  });
  canvas.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
    if (event.key in steps) move(...steps[event.key]);
    else if (event.key === "+" || event.key === "=") zoom(1.25);
    else if (event.key === "-") zoom(0.8);
    else if (event.key === "0") fit();
    else return;
    event.preventDefault();
  });
  canvas.addEventListener("pointerleave", () => { tip.hidden = true; });

  function hover(event) {
    const { node, flow } = under(event);
    canvas.style.cursor = node || flow ? "pointer" : "grab";
    tip.hidden = !node;
    if (!node) return;
    const counts = node.counts ? Object.entries(node.counts).map(([state, number]) => `${number} ${state}`).join("\n") : `${node.id} · ${node.state}`;
    tip.textContent = `${node.name}\n${counts}`;
    const [x, y] = at(event);
    tip.style.left = `${Math.min(x + 14, canvas.clientWidth - 180)}px`;
    tip.style.top = `${y + 14}px`;
  }

  const DO = {
    in: () => zoom(1.3), out: () => zoom(1 / 1.3), fit,
    open: () => { closed = new Set(); read(false); },
    close: () => { closed = new Set([...graph.flows.map((flow) => flow.uuid), ...closed]); read(false); },
  };
  document.querySelectorAll("[data-graph]").forEach((button) => button.addEventListener("click", () => graph && DO[button.dataset.graph]()));

  find.addEventListener("input", () => {
    const text = find.value.trim().toLowerCase();
    found = text && graph ? new Set(graph.nodes.filter((node) => `${node.id} ${node.name} ${node.state} ${node.key || ""}`.toLowerCase().includes(text))) : null;
    if (found?.size) centre([...found][0]);
    draw();
  });

  function centre(node) {
    const [x, y, width, height] = node.box;
    view.scale = Math.max(view.scale, 0.5);
    view.x = canvas.clientWidth / 2 - (x + width / 2) * view.scale;
    view.y = canvas.clientHeight / 2 - (y + height / 2) * view.scale;
  }

  // -- news ------------------------------------------------------------------------------------------------------

  let reading = 0;
  const readLater = () => { clearTimeout(reading); reading = setTimeout(() => read(true), 2500); };

  document.addEventListener("news", ({ detail }) => {
    if (!graph) return;
    if (detail.incomplete) return readLater();
    for (const job of detail.jobs) {
      if (job.flow_uuid !== graph.uuid) continue;
      const key = `${job.uuid}:${job.index}`, hidden = graph.hidden[key], place = index.get(key);
      if (place !== undefined) graph.nodes[place].state = job.state;
      else if (hidden) recount(hidden, job.state);
      else readLater();
      graph.shades[job.state] ??= SHADES[job.state];
    }
    return draw();
  });

  function recount(hidden, state) {
    const counts = graph.nodes[hidden[0]].counts;
    counts[hidden[1]] -= 1;
    counts[state] = (counts[state] || 0) + 1;
    if (!counts[hidden[1]]) delete counts[hidden[1]];
    hidden[1] = state;
  }

  const recolour = () => { readColours(); draw(); };
  document.addEventListener("theme", recolour);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
  new ResizeObserver(draw).observe(canvas);
  readColours();
  read(false);
}
