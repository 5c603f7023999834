// The graph of a flow in a page: arranged like model/arrange.py does, redrawn when a nested flow is opened or closed.
"use strict";

const NODE = { width: 176, height: 42 }, GAP = { x: 54, y: 14 }, PADDING = 14, HEADER = 24, MOST_ROWS = 24;

// -- where things are ------------------------------------------------------------------------------

function flowsOf(data, closed) {
  // the tree of blocks; what is in a closed flow is stood for by the flow
  const root = { key: "", depth: 0, inner: new Map() }, ways = new Map();
  for (const node of data.nodes) {
    let block = root, hidden = false;
    const way = [];
    node.hosts.forEach((host, level) => {
      if (hidden) return;
      const key = "flow " + host;
      if (!block.inner.has(key))
        block.inner.set(key, { key: host, flow: true, depth: level + 1, inner: new Map(), members: [] });
      block = block.inner.get(key);
      way.push(key);
      block.members.push(node);
      hidden = closed.has(host);
      block.closed = hidden;
    });
    if (!hidden) {
      block.inner.set("job " + node.id, { key: node.id, node, width: NODE.width, height: NODE.height });
      way.push("job " + node.id);
    }
    ways.set(node.id, way);
  }
  return { root, ways };
}

function levels(keys, before, after) {
  const open = new Map(keys.map((key) => [key, before.get(key).length]));
  const level = new Map(keys.map((key) => [key, 0])), waiting = new Set(keys);
  let ready = keys.filter((key) => !open.get(key));
  while (waiting.size) {
    if (!ready.length) ready = [[...waiting].reduce((a, b) => (open.get(b) < open.get(a) ? b : a))];
    const key = ready.pop();
    waiting.delete(key);
    for (const next of after.get(key)) {
      open.set(next, open.get(next) - 1);
      if (!waiting.has(next)) continue;
      level.set(next, Math.max(level.get(next), level.get(key) + 1));
      if (!open.get(next)) ready.push(next);
    }
  }
  return level;
}

function columnsOf(keys, links) {
  const before = new Map(keys.map((key) => [key, []])), after = new Map(keys.map((key) => [key, []]));
  const seen = new Set();
  for (const [source, target] of links) {
    const both = source + "\n" + target;
    if (seen.has(both)) continue;
    seen.add(both);
    before.get(target).push(source);
    after.get(source).push(target);
  }
  const level = levels(keys, before, after), columns = [], place = new Map();
  for (const key of keys) (columns[level.get(key)] ||= []).push(key);
  for (const column of columns) {
    const wish = new Map(column.map((key, own) => {
      const known = before.get(key).filter((other) => place.has(other)).map((other) => place.get(other));
      return [key, known.length ? known.reduce((a, b) => a + b, 0) / known.length : own];
    }));
    column.sort((a, b) => wish.get(a) - wish.get(b));
    column.forEach((key, position) => place.set(key, position - column.length / 2));
  }
  return columns.flatMap((column) => {
    const rows = Math.ceil(column.length / Math.ceil(column.length / MOST_ROWS)), parts = [];
    for (let start = 0; start < column.length; start += rows) parts.push(column.slice(start, start + rows));
    return parts;
  });
}

function arrangeBlock(block, links) {
  if (block.closed) {
    block.width = NODE.width;
    block.height = NODE.height;
    return;
  }
  const between = [], inside = new Map();
  for (const [source, target] of links) {
    if (source[0] !== target[0]) between.push([source[0], target[0]]);
    else if (source.length > 1 && target.length > 1) {
      if (!inside.has(source[0])) inside.set(source[0], []);
      inside.get(source[0]).push([source.slice(1), target.slice(1)]);
    }
  }
  for (const [key, inner] of block.inner) if (inner.flow) arrangeBlock(inner, inside.get(key) || []);
  const columns = columnsOf([...block.inner.keys()], between).map((column) => column.map((key) => block.inner.get(key)));
  const heights = columns.map((column) => column.reduce((sum, each) => sum + each.height + GAP.y, -GAP.y));
  const tallest = Math.max(0, ...heights), top = block.depth ? HEADER : PADDING;
  let x = PADDING;
  columns.forEach((column, position) => {
    const width = Math.max(...column.map((each) => each.width));
    let y = top + (tallest - heights[position]) / 2;
    for (const each of column) {
      each.x = x + (width - each.width) / 2;
      each.y = y;
      y += each.height + GAP.y;
    }
    x += width + GAP.x;
  });
  block.width = Math.max(NODE.width, x - GAP.x + PADDING);
  block.height = top + tallest + PADDING;
}

function arrange(data, closed) {
  const { root, ways } = flowsOf(data, closed);
  const links = data.edges.map(([source, target]) => [ways.get(source), ways.get(target)]);
  arrangeBlock(root, links.filter(([source, target]) => source.join("\n") !== target.join("\n")));
  const boxes = new Map(), flows = [];
  (function place(block, x, y) {
    for (const inner of block.inner.values()) {
      const box = { x: x + inner.x, y: y + inner.y, width: inner.width, height: inner.height, block: inner };
      if (inner.flow) flows.push(box);
      if (inner.flow && !inner.closed) place(inner, box.x, box.y);
      if (inner.closed) for (const node of inner.members) boxes.set(node.id, box);
      if (inner.node) boxes.set(inner.key, box);
    }
  })(root, 0, 0);
  return { width: root.width, height: root.height, boxes, flows };
}

// -- how they look ---------------------------------------------------------------------------------

function element(name, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children); // strings become text, whatever is in them
  return made;
}

function shorten(text, room) {
  const letters = [...text];
  return letters.length > room ? letters.slice(0, room - 1).join("") + "…" : text;
}

function drawJob(data, box, onPick) {
  const node = box.block.node, color = data.colors[node.state];
  const group = element("g", { class: node.superseded ? "job old" : "job", tabindex: 0, "data-id": node.id,
    transform: `translate(${box.x} ${box.y})` },
    element("title", {}, `${node.text}\n${node.state}`),
    element("rect", { width: box.width, height: box.height, rx: 6, class: "back" }),
    element("rect", { width: box.width, height: box.height, rx: 6, class: "front", fill: color, stroke: color }),
    element("rect", { width: 6, height: box.height, rx: 3, fill: color }),
    element("text", { x: 14, y: 18, class: "name" }, shorten(node.text, 22)),
    element("text", { x: 14, y: 34, class: "small" }, shorten(`${node.id} · ${node.state}`, 27)));
  group.addEventListener("click", () => onPick(node));
  group.addEventListener("keydown", (event) => event.key === "Enter" && onPick(node));
  return group;
}

function drawFlow(data, box, onToggle) {
  const flow = box.block, number = flow.members.length;
  const name = `${flow.closed ? "▸" : "▾"} nested flow ${shorten(data.flows[flow.key], 40)}`, jobs = `${number} job${number === 1 ? "" : "s"}`;
  const group = element("g", { class: flow.closed ? "flow closed" : "flow", transform: `translate(${box.x} ${box.y})` },
    element("rect", { width: box.width, height: box.height, rx: 8, class: flow.depth % 2 ? "odd" : "even" }));
  if (flow.closed) {
    let x = 14;
    for (const [state, color] of Object.entries(data.colors)) {
      const share = (flow.members.filter((node) => node.state === state).length / number) * (box.width - 28);
      if (share) group.append(element("rect", { x, y: 31, width: share, height: 5, fill: color }));
      x += share;
    }
    group.append(element("text", { x: 12, y: 18, class: "name" }, `${name} · ${jobs}`));
  } else {
    group.append(element("text", { x: 10, y: 16, class: "small" }, `${name} · ${jobs}`));
  }
  const handle = element("rect", { width: box.width, height: flow.closed ? box.height : HEADER, class: "handle", tabindex: 0 },
    element("title", {}, `${flow.key}: click to ${flow.closed ? "open" : "close"}`));
  handle.addEventListener("click", () => onToggle(flow.key));
  handle.addEventListener("keydown", (event) => event.key === "Enter" && onToggle(flow.key));
  group.append(handle);
  return group;
}

function drawEdges(data, places) {
  const drawn = new Set(), group = element("g", { class: "edges" });
  for (const [source, target, kind] of data.edges) {
    const from = places.boxes.get(source), to = places.boxes.get(target);
    if (from === to) continue;
    const x1 = from.x + from.width, y1 = from.y + from.height / 2, x2 = to.x, y2 = to.y + to.height / 2;
    const bend = Math.max(24, Math.abs(x2 - x1) / 2);
    const d = `M${x1} ${y1} C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2 - 5} ${y2}`;
    if (drawn.has(d + kind)) continue;
    drawn.add(d + kind);
    group.append(element("path", { d, class: kind, "data-from": source, "data-to": target }),
      element("path", { d: `M${x2} ${y2} l-7 -3.5 v7 z`, class: "head" }));
  }
  return group;
}

// -- the page --------------------------------------------------------------------------------------

function show(data) {
  const svg = document.getElementById("graph"), stage = element("g", {});
  const details = document.getElementById("details"), search = document.getElementById("search");
  const every = new Set(data.nodes.flatMap((node) => node.hosts));
  const closed = new Set(data.nodes.length > data.many ? every : []);
  let view = { x: 0, y: 0, scale: 1 }, places, picked = null;
  svg.append(stage);

  const move = () => stage.setAttribute("transform", `translate(${view.x} ${view.y}) scale(${view.scale})`);
  const zoom = (factor, x, y) => {
    const scale = Math.min(4, Math.max(0.02, view.scale * factor)), real = scale / view.scale;
    view = { x: x - (x - view.x) * real, y: y - (y - view.y) * real, scale };
    move();
  };
  const fit = () => {
    const { width, height } = svg.getBoundingClientRect();
    const scale = Math.min(1.2, (width - 32) / places.width, (height - 32) / places.height);
    view = { scale, x: (width - places.width * scale) / 2, y: (height - places.height * scale) / 2 };
    move();
  };
  const mark = () => {
    const words = search.value.trim().toLowerCase();
    for (const job of stage.querySelectorAll(".job")) {
      const node = data.nodes.find((each) => each.id === job.getAttribute("data-id"));
      job.classList.toggle("picked", node === picked);
      job.classList.toggle("dim", words !== "" && !`${node.text} ${node.id} ${node.uuid} ${node.state}`.toLowerCase().includes(words));
    }
    for (const edge of stage.querySelectorAll(".edges path"))
      edge.classList.toggle("near", picked !== null && [edge.getAttribute("data-from"), edge.getAttribute("data-to")].includes(picked.id));
  };
  const pick = (node) => {
    picked = node;
    const rows = node.details.map(([key, value]) => {
      const row = document.createElement("tr"), name = document.createElement("th"), cell = document.createElement("td");
      name.textContent = key;
      cell.textContent = value;
      row.append(name, cell);
      return row;
    });
    details.querySelector("h2").textContent = node.text;
    details.querySelector("tbody").replaceChildren(...rows);
    details.hidden = false;
    mark();
  };
  const draw = () => {
    places = arrange(data, closed);
    const toggle = (key) => {
      closed.has(key) ? closed.delete(key) : closed.add(key);
      draw();
    };
    const jobs = [...new Set(places.boxes.values())].filter((box) => box.block.node);
    const flows = (shut) => places.flows.filter((box) => !!box.block.closed === shut).map((box) => drawFlow(data, box, toggle));
    stage.replaceChildren(...flows(false), drawEdges(data, places), ...flows(true), ...jobs.map((box) => drawJob(data, box, pick)));
    mark();
  };

  svg.addEventListener("wheel", (event) => {
    event.preventDefault();
    const area = svg.getBoundingClientRect();
    zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), event.clientX - area.left, event.clientY - area.top);
  }, { passive: false });
  let held = null, dragged = false;
  svg.addEventListener("pointerdown", (event) => {
    held = { x: event.clientX, y: event.clientY, from: { ...view } };
    dragged = false;
  });
  window.addEventListener("pointermove", (event) => {
    if (!held) return;
    const x = event.clientX - held.x, y = event.clientY - held.y;
    dragged ||= Math.hypot(x, y) > 4;
    if (!dragged) return;
    view.x = held.from.x + x;
    view.y = held.from.y + y;
    move();
  });
  window.addEventListener("pointerup", () => { held = null; });
  svg.addEventListener("click", (event) => dragged && event.stopPropagation(), true); // a drag is no click
  const middle = () => { const area = svg.getBoundingClientRect(); return [area.width / 2, area.height / 2]; };
  const hide = () => { details.hidden = true; picked = null; mark(); };
  const actions = {
    closer: () => zoom(1.25, ...middle()), farther: () => zoom(0.8, ...middle()), fit,
    open: () => { closed.clear(); draw(); fit(); },
    close: () => { every.forEach((key) => closed.add(key)); draw(); fit(); },
    hide,
  };
  for (const button of document.querySelectorAll("button[data-do]"))
    button.addEventListener("click", actions[button.getAttribute("data-do")]);
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
  search.addEventListener("input", mark);
  draw();
  fit();
}

if (typeof document !== "undefined") show(JSON.parse(document.getElementById("data").textContent));
