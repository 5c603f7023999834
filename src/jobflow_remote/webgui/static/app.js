// What pages do by themselves: times in the zone of the reader, dialogs, selections, and what happens, as it happens.
// Pages work without it. Text from the server is put in as text; only pages of this server are put in as HTML.
"use strict";

const $ = (selector, inside = document) => inside.querySelector(selector);
const $$ = (selector, inside = document) => [...inside.querySelectorAll(selector)];
const page = document.body.dataset;

// -- times -----------------------------------------------------------------------------------------------------

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

function sayTime(element) {
  const when = new Date(element.dateTime), seconds = (Date.now() - when) / 1000;
  if (Number.isNaN(seconds)) return;
  const units = [[60, 1, "s"], [3600, 60, "min"], [43200, 3600, "h"]];
  const unit = units.find(([limit]) => Math.abs(seconds) < limit);
  element.title = exact.format(when);
  if (!unit) element.textContent = day.format(when);
  else if (Math.abs(seconds) < 5) element.textContent = "now";
  else element.textContent = seconds > 0 ? `${Math.round(seconds / unit[1])} ${unit[2]} ago` : `at ${clock.format(when)}`;
}

const sayTimes = (inside = document) => $$("time", inside).forEach(sayTime);

function sayDuration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60), hours = Math.floor(minutes / 60), days = Math.floor(hours / 24);
  if (days) return `${days} d ${hours % 24} h`;
  return hours ? `${hours} h ${minutes % 60} min` : `${minutes} min ${Math.floor(seconds % 60)} s`;
}

// -- asking the server -----------------------------------------------------------------------------------------

async function ask(address, options = {}) {
  const headers = { "X-Fragment": "1", Accept: "text/html", ...options.headers };
  const answer = await fetch(address, { credentials: "same-origin", ...options, headers });
  if (answer.redirected && new URL(answer.url).pathname === "/login") location.reload();
  return { fine: answer.ok, text: await answer.text() };
}

const parse = (text) => new DOMParser().parseFromString(text, "text/html");

// -- notices ---------------------------------------------------------------------------------------------------

function toast(element, seconds) {
  const close = document.createElement("button");
  close.type = "button";
  close.textContent = "Close";
  close.addEventListener("click", () => element.remove());
  element.append(close);
  $("#toasts").append(element);
  // it goes by itself, but not while somebody reads it
  const go = () => (element.matches(":hover, :focus-within, :has(details[open])") ? setTimeout(go, 2000) : element.remove());
  if (seconds) setTimeout(go, seconds * 1000);
}

async function follow(box) {
  $("#toasts").append(box);
  while (box.dataset.task) {
    await new Promise((resolve) => setTimeout(resolve, 500));
    const next = parse((await ask(box.dataset.task)).text).body.firstElementChild;
    box.replaceWith(next);
    box = next;
  }
  box.remove();
  toast(box, box.classList.contains("done") ? 8 : 0);
  refresh();
}

// -- forms that change something -------------------------------------------------------------------------------

async function send(form, button) {
  const fields = new URLSearchParams(new FormData(form, button));
  button?.setAttribute("aria-busy", "true");
  try {
    const { text } = await ask(form.getAttribute("action"), { method: "POST", body: fields });
    const answer = parse(text).body.firstElementChild;
    const dialog = $("#dialog");
    if (!answer) return;
    if (answer.dataset.fragment === "dialog") {
      dialog.replaceChildren(answer);
      if (!dialog.open) dialog.showModal();
      return;
    }
    if (dialog.open) dialog.close();
    if (answer.dataset.task) follow(answer);
    else toast(answer, answer.classList.contains("done") ? 8 : 0);
    refresh();
  } catch (error) {
    const note = document.createElement("div");
    note.className = "notice error";
    note.textContent = `The server does not answer: ${error.message}`;
    toast(note);
  } finally {
    button?.removeAttribute("aria-busy");
  }
}

document.addEventListener("submit", (event) => {
  if (!event.target.dataset.dialog) return;
  event.preventDefault();
  send(event.target, event.submitter);
});
document.addEventListener("click", (event) => {
  if (!event.target.closest("[data-close]") || !$("#dialog").open) return;
  event.preventDefault();
  $("#dialog").close();
});

// empty fields of filters stay out of the address
document.addEventListener("submit", (event) => {
  if (!event.target.matches(".filters")) return;
  for (const field of event.target.elements) if (field.name && !field.value) field.disabled = true;
});
addEventListener("pageshow", () => $$(".filters :disabled").forEach((field) => { field.disabled = false; }));

// -- selection -------------------------------------------------------------------------------------------------

let lastPicked = null;

function tellSelection(form) {
  const boxes = $$(`input[name="${form.dataset.select}"]`, form), picked = boxes.filter((box) => box.checked).length;
  const all = $("[data-page]", form), told = $(".selected", form), everything = $("[data-all]", form);
  if (all) {
    all.checked = picked > 0 && picked === boxes.length;
    all.indeterminate = picked > 0 && picked < boxes.length;
  }
  if (told) told.textContent = everything?.checked ? "All that match" : picked ? `${picked} selected` : told.dataset.none;
}

document.addEventListener("change", (event) => {
  const form = event.target.closest("[data-select]"), box = event.target;
  if (!form) return;
  if (box.matches("[data-page]")) $$(`input[name="${form.dataset.select}"]`, form).forEach((each) => { each.checked = box.checked; });
  tellSelection(form);
});
document.addEventListener("click", (event) => {
  const box = event.target, form = box.closest?.("[data-select]");
  if (!form || box.name !== form.dataset.select) return;
  const boxes = $$(`input[name="${box.name}"]`, form);
  if (event.shiftKey && lastPicked && boxes.includes(lastPicked)) {
    const [from, to] = [boxes.indexOf(lastPicked), boxes.indexOf(box)].sort((one, other) => one - other);
    boxes.slice(from, to + 1).forEach((each) => { each.checked = box.checked; });
    tellSelection(form);
  }
  lastPicked = box;
});

// -- parts that are loaded on demand ---------------------------------------------------------------------------

document.addEventListener("toggle", async (event) => {
  const place = event.target.open && $("[data-load]", event.target);
  if (!place || place.dataset.loaded) return;
  place.dataset.loaded = "1";
  place.textContent = "Loading …";
  try {
    place.innerHTML = (await ask(place.dataset.load)).text;
    sayTimes(place);
  } catch (error) {
    place.textContent = `The server does not answer: ${error.message}`;
    delete place.dataset.loaded;
  }
}, true);

// -- news ------------------------------------------------------------------------------------------------------

let revision = page.revision;  // what the page shows is as old as this
let refreshing = null, again = false, lastRefresh = 0;
let took = 0;  // ms that reading the page took: a busy server is asked more rarely

async function readPage() {
  const began = Date.now();
  let answer;
  try { answer = await fetch(location.href, { headers: { Accept: "text/html" } }); } catch { return null; }
  if (!answer.ok || answer.redirected) return null;
  const text = await answer.text();
  took = Date.now() - began;
  return parse(text);
}

function mark(row) {
  row.classList.remove("changed");
  void row.offsetWidth;
  row.classList.add("changed");
}

function badge(cell, state) {
  const element = $(".state", cell);
  if (!element || element.textContent === state) return;
  element.textContent = state;
  element.className = `state ${SHADES[state] || "grey"}`;
}

const SHADES = { WAITING: "grey", READY: "cyan", COMPLETED: "green", FAILED: "red", REMOTE_ERROR: "orange", PAUSED: "violet", STOPPED: "violet", USER_STOPPED: "violet" };
for (const state of ["CHECKED_OUT", "UPLOADED", "SUBMITTED", "RUNNING", "TERMINATED", "DOWNLOADED", "BATCH_SUBMITTED", "BATCH_RUNNING"]) SHADES[state] = "blue";

function setCell(row, name, value) {
  const cell = $(`[data-cell="${name}"]`, row);
  if (!cell) return;
  if (name === "state") badge(cell, value);
  else if (name === "updated_on") {
    const time = $("time", cell);
    if (time) { time.dateTime = value; sayTime(time); }
  } else cell.textContent = name === "run_seconds" ? sayDuration(value) : value ?? "";
}

function updateRows(kind, changed) {
  let unknown = 0;
  for (const item of changed) {
    const key = kind === "jobs" ? `${item.uuid}:${item.index}` : item.uuid;
    const rows = $$(`tr[data-key="${CSS.escape(key)}"]`);
    if (!rows.length) unknown += 1;
    for (const row of rows) {
      for (const name of ["state", "worker", "updated_on", "run_seconds", "error"]) if (name in item) setCell(row, name, item[name]);
      if (kind === "flows") setCell(row, "n_jobs", item.n_jobs);
      mark(row);
    }
  }
  return unknown;
}

// Other jobs changed: how many match now, and does this list have other lines? Those are offered, and not pushed under
// the reader's hand.
let checking = 0, strangers = 0;

function checkList(list, unknown) {
  strangers += unknown;
  if (!strangers || list.dataset.first !== "true" || checking || $("#newer")) return;
  checking = setTimeout(async () => {
    const keys = (inside) => $$("tr[data-key]", inside).map((row) => row.dataset.key).join(), fresh = await readPage();
    checking = 0;
    if (!fresh) return;
    strangers = 0;
    if (keys(fresh) !== keys(document)) showNewer(list);
    renewPlaces(fresh, '[data-live="total"], [data-live="pager"]');
  }, Math.max(1000, 10 * took));
}

function showNewer(list) {
  const button = document.createElement("button");
  button.type = "button";
  button.id = "newer";
  button.className = "refresh";
  button.textContent = "The list has changed: show it anew";
  button.addEventListener("click", () => location.reload());
  list.before(button);
}

function onNews(news) {
  document.dispatchEvent(new CustomEvent("news", { detail: news }));
  const unknown = { jobs: updateRows("jobs", news.jobs || []), flows: updateRows("flows", news.flows || []) };
  const list = $("[data-rows]");
  if (list) checkList(list, unknown[list.dataset.rows]);
  const job = $("[data-watch]")?.dataset.watch, flow = $("[data-watch-flow]")?.dataset.watchFlow;
  if (job) { if (news.incomplete || news.jobs.some((each) => `${each.uuid}:${each.index}` === job)) refresh(); }
  else if (flow) { if (news.incomplete || news.jobs.some((each) => each.flow_uuid === flow) || news.flows.some((each) => each.uuid === flow)) refresh(1500); }
  else if (list) { if (news.incomplete) refresh(); }
  else if ($("[data-live]")) refresh(1500);
}

// The page is read again, and what differs is put in. Rows that stay keep their check-box, and the cursor its place.
async function refresh(pause = 0) {
  if (!$("[data-live]")) return;
  if (refreshing) { again = true; return; }
  const wait = Math.max(0, lastRefresh + (pause && Math.max(pause, 10 * took)) - Date.now());
  refreshing = new Promise((resolve) => setTimeout(resolve, wait)).then(renew);
  await refreshing;
  refreshing = null;
  if (again) { again = false; refresh(pause); }
}

async function renew() {
  lastRefresh = Date.now();
  const fresh = await readPage();
  if (!fresh) return;
  if ($("[data-rows]", fresh) && !$("[data-rows]")) { location.reload(); return; }  // there was nothing, and now there is
  renewPlaces(fresh, "[data-live]");
  $$("[data-select]").forEach(tellSelection);
}

function renewPlaces(fresh, which) {
  for (const place of $$(which)) {
    const next = $(`[data-live="${place.dataset.live}"]`, fresh);
    if (next) replaceInside(place, next);
  }
}

function replaceInside(place, next) {
  const picked = new Set($$("input:checked", place).map((box) => box.value));
  const open = $$("details", place).map((each) => each.open), focused = place.contains(document.activeElement) ? document.activeElement : null;
  const name = focused && (focused.value || focused.getAttribute("href") || focused.textContent);
  sayTimes(next);
  if (place.innerHTML === next.innerHTML) return;
  const scrolled = $$(".table, pre", place).map((each) => [each.scrollLeft, each.scrollTop]);
  place.replaceChildren(...next.childNodes);
  $$("input[type=checkbox]", place).forEach((box) => { if (picked.has(box.value) && box.name) box.checked = true; });
  $$("details", place).forEach((each, at) => { if (open[at]) each.open = true; });
  $$(".table, pre", place).forEach((each, at) => { if (scrolled[at]) [each.scrollLeft, each.scrollTop] = scrolled[at]; });
  if (name) $$("a, button, input", place).find((each) => (each.value || each.getAttribute("href") || each.textContent) === name)?.focus();
}

function say(text, lost) {
  const place = $("#connection");
  place.textContent = text;
  place.classList.toggle("lost", Boolean(lost));
}

// A browser has six connections to a server, and a stream takes one: the tabs of a browser share one stream. The tab that
// holds the lock listens and tells the others; without locks (no secure context) each tab listens while it is looked at.

function listen(tell) {
  let source = null, timer = 0;
  const open = () => {
    source = new EventSource(page.events);
    for (const kind of ["hello", "news", "away"]) source.addEventListener(kind, (event) => tell(kind, event.data));
    source.addEventListener("error", () => {
      tell("lost", "{}");
      if (source.readyState === EventSource.CLOSED) { clearTimeout(timer); timer = setTimeout(open, 2000); }
    });
  };
  open();
  return { open: () => { if (source.readyState === EventSource.CLOSED) open(); }, close: () => { clearTimeout(timer); source.close(); } };
}

function hear(kind, text) {
  const news = { jobs: [], flows: [], ...JSON.parse(text) };
  if (kind === "lost") return say("not connected; trying again …", true);
  if (kind === "away") return say(`database away: ${news.why}`, true);
  say("live");
  const missed = kind === "hello" && news.revision !== revision;
  revision = news.revision;
  if (kind === "news" || missed) onNews({ ...news, incomplete: missed || news.incomplete });
  return undefined;
}

function connect() {
  if (!page.events) return;
  if (!navigator.locks || !window.BroadcastChannel) {
    const stream = listen(hear);
    document.addEventListener("visibilitychange", () => (document.hidden ? stream.close() : stream.open()));
    return;
  }
  const name = `events of ${page.events}`, channel = new BroadcastChannel(name);
  let present = null;  // what a tab that comes is told; only the tab that listens has it
  channel.addEventListener("message", ({ data }) => {
    if (data.kind !== "ask") hear(data.kind, data.text);
    else if (present) channel.postMessage(present);
  });
  channel.postMessage({ kind: "ask" });
  navigator.locks.request(name, () => new Promise(() => listen((kind, text) => {
    channel.postMessage({ kind, text });
    present = kind === "news" ? { kind: "hello", text: JSON.stringify({ revision: JSON.parse(text).revision }) } : { kind, text };
    hear(kind, text);
  })));
}

const renewEvery = $("[data-renew]")?.dataset.renew;
if (renewEvery) setInterval(() => { if (!document.hidden) refresh(); }, Number(renewEvery) * 1000);

// -- colours and keys ------------------------------------------------------------------------------------------

const THEMES = { light: "light", dark: "dark", "": "as the system has it" };

function setTheme(name) {
  if (name) document.documentElement.dataset.theme = name;
  else delete document.documentElement.dataset.theme;
  try { name ? localStorage.setItem("theme", name) : localStorage.removeItem("theme"); } catch { /* no storage */ }
  $("#theme").setAttribute("aria-label", `Colours: ${THEMES[name]}`);
  document.dispatchEvent(new CustomEvent("theme"));
}

$("#theme")?.addEventListener("click", () => {
  const order = ["", "light", "dark"], present = document.documentElement.dataset.theme || "";
  setTheme(order[(order.indexOf(present) + 1) % 3]);
});

const KEYS = [["g o, g j, g f", "overview, jobs, flows"], ["g b, g r, g u", "batches, report, runner"], ["/", "to the filter"],
  ["j, k", "next, previous line"], ["x", "select the line"], ["Enter", "open the line"], ["n, p", "next, previous page"], ["?", "these keys"]];

function showKeys() {
  const dialog = $("#dialog"), title = document.createElement("h2"), table = document.createElement("dl"), close = document.createElement("button");
  title.textContent = "Keyboard";
  table.className = "facts";
  for (const [keys, what] of KEYS) {
    const name = document.createElement("dt"), value = document.createElement("dd"), shown = document.createElement("kbd");
    shown.textContent = keys;
    value.textContent = what;
    name.append(shown);
    table.append(name, value);
  }
  close.type = "button";
  close.textContent = "Close";
  close.dataset.close = "1";
  dialog.replaceChildren(title, table, close);
  dialog.showModal();
}

$("#keys")?.addEventListener("click", showKeys);

let pressed = "";
const GOALS = { o: "", j: "/jobs", f: "/flows", b: "/batches", r: "/report", u: "/runner" };

function move(step) {
  const rows = $$("tr[data-key]"), at = rows.findIndex((row) => row.classList.contains("at"));
  const next = rows[Math.min(rows.length - 1, Math.max(0, at + step))];
  rows[at]?.classList.remove("at");
  next?.classList.add("at");
  next?.scrollIntoView({ block: "nearest" });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("#dialog")?.open || event.target.matches("input, select, textarea, canvas")) return;
  const key = event.key, row = $("tr.at");
  if (pressed === "g" && key in GOALS && page.root) location.href = page.root + GOALS[key];
  else if (key === "/") { event.preventDefault(); $(".filters input, #graph-find")?.focus(); }
  else if (key === "j") move(1);
  else if (key === "k") move(-1);
  else if (key === "x" && row) $("input[type=checkbox]", row)?.click();
  else if (key === "Enter" && row && event.target === document.body) $("a", row)?.click();
  else if (key === "n") $('a[title="Next page"]')?.click();
  else if (key === "p") $('a[title="Previous page"]')?.click();
  else if (key === "?") showKeys();
  pressed = key;
});

sayTimes();
setInterval(sayTimes, 10000);
setTheme(document.documentElement.dataset.theme || "");
connect();
