// The script of the dashboard. It asks for page.json each second, and puts what it gets into the
// page as text: never as HTML, since names and error texts come from elsewhere.
"use strict";

const PERIOD = 1000;
const TIMEOUT = 5000;
/** How far back the line goes, in seconds: so far at first, and in the end. */
const LEAST_SPAN = 30;
const SPAN = 120;

const byId = (id) => document.getElementById(id);

/** The number of the pool that is asked for. What is shown is the pool of the last answer. */
let shown = 0;
/** Set once the server has accepted it. */
let token = null;
/** For each pool the points of its line, and its last counts. */
const lines = new Map();
/** The line breaks after so many seconds without an answer. */
const GAP = (3 * PERIOD) / 1000;
/** The last answer. */
let page = null;
/** Counts the polls: the answer to an old one is not shown. */
let poll = 0;
let timer = 0;
/** The same of the panels. */
let panelPoll = 0;
let panelTimer = 0;

// Texts.

const PRESENT = [
  "queued", "delayed", "gated", "waiting", "running", "workers", "threads", "busy", "blocked", "idle",
];
const TOTALS = [
  "submitted", "succeeded", "failed", "panicked", "cancelled", "expired", "timed_out", "rejected",
  "retries", "unread", "spares_started",
];
const BAD = ["failed", "panicked", "timed_out", "expired", "rejected", "unread"];

const number = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

function duration(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 0) return "-" + duration(-seconds);
  if (seconds === 0) return "0 s";
  // What would be rounded up to 1000 or 60 belongs to the next unit.
  if (seconds < 999.5e-6) return (seconds * 1e6).toPrecision(3) + " µs";
  if (seconds < 999.5e-3) return Math.max(seconds * 1e3, 1).toPrecision(3) + " ms";
  if (seconds < 59.95) return seconds.toFixed(1) + " s";
  seconds = Math.max(seconds, 60);
  const two = (n) => String(Math.floor(n)).padStart(2, "0");
  if (seconds < 3600) return Math.floor(seconds / 60) + " min " + two(seconds % 60) + " s";
  if (seconds < 86400) return Math.floor(seconds / 3600) + " h " + two((seconds % 3600) / 60) + " min";
  return Math.floor(seconds / 86400) + " d " + two((seconds % 86400) / 3600) + " h";
}

function perSecond(rate) {
  return (rate < 9.95 ? rate.toFixed(1) : number.format(rate)) + " tasks/s";
}

function age(task) {
  if (!task.age) return "";
  return (task.age.exact ? "" : "≥ ") + duration(task.age.at_least);
}

function label(task) {
  const id = task.id === null ? "" : "#" + task.id;
  if (task.name === null) return id === "" ? "a task" : "task " + id;
  return (task.name + " " + id).trim();
}

function waitsFor(task) {
  const texts = task.waits_for.map((what) => {
    if (what.what === "gate") return what.kind + " " + what.id + " (" + number.format(what.waiting) + " wait there)";
    if (what.what === "task") return "task #" + what.id;
    if (what.what === "time") return duration(what.left) + " more";
    return "a worker";
  });
  return texts.join(" and ");
}

// Elements. What has not changed is not touched, so that the focus and a selection stay.

function make(tag, text, className) {
  const node = document.createElement(tag);
  if (text) node.textContent = text;
  if (className) node.className = className;
  return node;
}

function makeSvg(tag, attributes) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Makes `node` have these children, by the keys of `wanted`: pairs of a key and what fills it. */
function keyed(node, wanted, create, update) {
  const focused = document.activeElement;
  const old = node.keyed || new Map();
  const now = new Map();
  for (const [key, item] of wanted) {
    let unique = key;
    while (now.has(unique)) unique += "'";
    const child = old.get(unique) || create(item);
    update(child, item);
    now.set(unique, child);
  }
  for (const [key, child] of old) if (now.get(key) !== child) child.remove();
  let next = node.firstChild;
  for (const child of now.values()) {
    if (child === next) next = next.nextSibling;
    else node.insertBefore(child, next);
  }
  node.keyed = now;
  // A node that is moved loses the focus.
  if (focused !== document.activeElement && focused && focused.isConnected) focused.focus();
}

/** A button of a row. `press` may differ from one second to the next. */
function setButtons(cell, buttons) {
  const wanted = buttons.map((button) => [button.text, button]);
  const create = () => {
    const node = make("button");
    node.type = "button";
    node.addEventListener("click", () => node.press());
    return node;
  };
  keyed(cell, wanted, create, (node, button) => {
    setText(node, button.text);
    if (node.getAttribute("aria-label") !== button.label) node.setAttribute("aria-label", button.label);
    node.press = button.press;
  });
}

function setProgress(cell, progress) {
  if (!progress) return setText(cell, "");
  let bar = cell.querySelector("progress");
  if (!bar) {
    setText(cell, "");
    bar = make("progress");
    cell.append(bar, make("span"));
  }
  const [done, total] = progress;
  bar.max = Math.max(total, 1);
  bar.value = Math.min(done, bar.max);
  bar.setAttribute("aria-label", "progress");
  setText(cell.lastChild, " " + number.format(done) + " of " + number.format(total));
}

/** From 1 µs to 1 h, by the logarithm: a line from 50 % to 99 %, and marks at both. */
function setBar(cell, from, to) {
  let svg = cell.querySelector("svg");
  if (!svg) {
    svg = makeSvg("svg", { class: "bar", viewBox: "0 0 140 18", "aria-hidden": "true" });
    svg.append(
      makeSvg("rect", { class: "range", y: 6, height: 6 }),
      makeSvg("rect", { y: 3, width: 3, height: 12 }),
      makeSvg("rect", { y: 3, width: 3, height: 12 }),
    );
    cell.append(svg);
  }
  const place = (seconds) => {
    const part = Math.log10(Math.max(seconds, 1e-6) / 1e-6) / Math.log10(3.6e9);
    return Math.min(part, 1) * 136;
  };
  const [range, first, last] = svg.children;
  range.setAttribute("x", place(from));
  range.setAttribute("width", place(to) - place(from) + 3);
  first.setAttribute("x", place(from));
  last.setAttribute("x", place(to));
}

/** Fills a table. A cell is a text, or an object with `text`, `buttons`, `progress` or `bar`. */
function fill(table, items, keyOf, cellsOf) {
  const headings = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
  const update = (row, item) => {
    const cells = cellsOf(item);
    while (row.cells.length > cells.length) row.lastChild.remove();
    cells.forEach((content, n) => {
      const cell = row.cells[n] || row.insertCell();
      const what = typeof content === "object" ? content : { text: content };
      if (cell.dataset.label !== headings[n]) cell.dataset.label = headings[n];
      if (cell.className !== (what.kind || "")) cell.className = what.kind || "";
      if (what.buttons) setButtons(cell, what.buttons);
      else if (what.bar) setBar(cell, ...what.bar);
      else if ("progress" in what) setProgress(cell, what.progress);
      else setText(cell, String(what.text));
    });
  };
  const wanted = items.map((item) => [keyOf(item), item]);
  const body = table.tBodies[0];
  const focused = [...body.rows].findIndex((row) => row.contains(document.activeElement));
  keyed(body, wanted, () => make("tr"), update);
  table.hidden = items.length === 0;
  const none = table.parentNode.querySelector(".none");
  if (none) none.hidden = items.length > 0;
  if (focused !== -1 && !body.contains(document.activeElement)) focusNear(table, focused);
}

/** After a row with the focus has gone: the button of the next one, or the heading. */
function focusNear(table, n) {
  const rows = [...table.tBodies[0].rows];
  const near = rows.slice(n).concat(rows.slice(0, n).reverse());
  const button = near.map((row) => row.querySelector("button")).find(Boolean);
  const heading = table.parentNode.querySelector("h2");
  if (!button) heading.tabIndex = -1;
  (button || heading).focus();
}

const num = (text) => ({ text, kind: "num" });
const short = (text) => ({ text, kind: "short" });
const site = (text) => ({ text, kind: "site" });

// The parts of the page.

function showTiles(list, names, stats) {
  const create = (name) => {
    const tile = make("div");
    const value = make("dd");
    value.dataset.count = name;
    tile.append(make("dt", name.replaceAll("_", " ")), value);
    return tile;
  };
  const update = (tile, name) => {
    setText(tile.lastChild, number.format(stats[name]));
    tile.lastChild.classList.toggle("bad", BAD.includes(name) && stats[name] > 0);
  };
  keyed(list, names.map((name) => [name, name]), create, update);
}

function showLine(stats, n) {
  let line = lines.get(n);
  if (!line || line.at > stats.uptime || stats.uptime - line.at > GAP) {
    line = { points: [], at: stats.uptime, ended: stats.ended };
    lines.set(n, line);
  } else if (stats.uptime > line.at) {
    const rate = Math.max(0, (stats.ended - line.ended) / (stats.uptime - line.at));
    line.points.push([stats.uptime, rate]);
    line.at = stats.uptime;
    line.ended = stats.ended;
  }
  line.points = line.points.filter(([at]) => at > stats.uptime - SPAN);
  const most = Math.max(1, ...line.points.map(([, rate]) => rate));
  const top = most * 1.15;
  const seen = line.points.length > 0 ? stats.uptime - line.points[0][0] : 0;
  const span = Math.min(Math.max(seen, LEAST_SPAN), SPAN);
  setText(byId("chart-from"), Math.round(span) + " s ago");
  const places = line.points.map(([at, rate]) => {
    const x = 600 - ((stats.uptime - at) / span) * 600;
    return x.toFixed(1) + "," + (160 - (rate / top) * 160).toFixed(1);
  });
  byId("line").setAttribute("points", places.join(" "));
  const begin = places.length > 0 ? places[0].split(",")[0] : "0";
  const area = places.length > 0 ? [begin + ",160", ...places, "600,160"] : [];
  byId("area").setAttribute("points", area.join(" "));
  setText(byId("chart-top"), "up to " + perSecond(most));
  const last = line.points.at(-1);
  const current = stats.rates ? stats.rates.last_second : last && last[1];
  const rates = current === undefined ? ["measuring"] : [perSecond(current) + " now"];
  if (stats.rates) rates.push(perSecond(stats.rates.last_minute) + " over the last minute");
  rates.push("up for " + duration(stats.uptime));
  if (stats.oldest_queued !== null) rates.push("oldest queued task: " + duration(stats.oldest_queued));
  setText(byId("rate"), rates.join(" · "));
}

/** What a command says about the pool of the last answer: its row acts on no other one. */
function place() {
  return { pool: page.number, name: page.pool.stats.pool, instance: page.instance };
}

/** The button that cancels a task, for those who may. */
function cancelButton(task) {
  if (token === null || task.id === null) return { buttons: [] };
  const at = place();
  const press = () => control({ do: "cancel", ...at, task: task.id });
  return { buttons: [{ text: "Cancel", label: "Cancel " + label(task), press }] };
}

function showTasks(pool) {
  const states = new Map(pool.workers.map((worker) => [worker.index, worker.state]));
  const running = [...pool.running].sort((one, other) => one.worker - other.worker);
  const keyOf = (task) => task.worker + "/" + (task.id || task.site);
  fill(byId("workers"), running, keyOf, (task) => [
    num(task.worker === null ? "" : task.worker),
    short(states.get(task.worker) || task.state),
    label(task) + (task.attempt > 1 ? ", attempt " + task.attempt : ""),
    num(age(task)),
    { progress: task.progress },
    site(task.site),
    cancelButton(task),
  ]);
  const { idle, gated } = pool.stats;
  setText(byId("idle"), idle === 1 ? "1 thread is idle." : number.format(idle) + " threads are idle.");

  fill(byId("waiting"), pool.waiting, (task) => task.id || task.site, (task) => [
    label(task), short(task.state), waitsFor(task), num(age(task)), site(task.site), cancelButton(task),
  ]);
  const unlisted = pool.unlisted === 0 ? "" : number.format(pool.unlisted) + " more tasks are not listed.";
  setText(byId("unlisted"), unlisted);

  const gates = new Map();
  for (const task of pool.waiting.concat(pool.running)) {
    for (const what of task.waits_for) {
      if (what.what !== "gate") continue;
      if (!gates.has(what.id)) gates.set(what.id, { ...what, tasks: [] });
      gates.get(what.id).tasks.push(label(task));
    }
  }
  fill(byId("gates"), [...gates.values()], (gate) => gate.id, (gate) => [
    short(gate.kind + " " + gate.id), num(number.format(gate.waiting)), gate.tasks.slice(0, 5).join(", "),
  ]);

  // Those that are not listed may wait at other gates.
  const atGates = new Set(pool.waiting.filter((task) => task.state === "gated").map((task) => task.id)).size;
  byId("no-gates").hidden = gates.size > 0 || gated > 0;
  const unseen = Math.max(0, gated - atGates);
  const more = number.format(unseen) + (unseen === 1 ? " task that is" : " tasks that are");
  setText(byId("more-gates"), unseen === 0 ? "" : "Without " + more + " not listed above.");

  fill(byId("slowest"), pool.running.slice(0, 5), keyOf, (task) => [
    label(task), num(age(task)), num(task.worker === null ? "" : task.worker), num(task.attempt), site(task.site),
  ]);

  fill(byId("failures"), pool.failures, (task) => task.id, (task) => [
    label(task), { text: task.outcome, kind: "bad" }, task.error || "", num(task.attempts), num(duration(task.ran)), site(task.site),
  ]);
  setText(byId("more-failures"), pool.failures.length < 32 ? "" : "Only the last 32 are kept.");
}

function showSchedules(pool) {
  const ago = (time) => {
    if (time === null) return "";
    const text = duration(Math.abs(time - pool.now));
    return time > pool.now ? "in " + text : text + " ago";
  };
  const at = place();
  fill(byId("schedules"), pool.schedules, (one) => one.id, (one) => {
    const name = one.name === null ? "schedule " + one.id : one.name;
    const verb = one.paused ? "Resume" : "Pause";
    const press = () => control({ do: verb.toLowerCase(), ...at, schedule: one.id });
    const buttons = token === null ? [] : [{ text: verb, label: verb + " " + name, press }];
    const next = one.paused ? "paused" : one.next_run === null ? "after this run" : ago(one.next_run);
    return [
      name, num(next), num(ago(one.last_run)), num(number.format(one.runs)), num(number.format(one.left_out)),
      num(number.format(one.failures)), site(one.site), { buttons },
    ];
  });
}

function showTimes(pool) {
  const which = byId("which-time").value;
  const { times: all } = pool.stats;
  const none = all.length === 0
    ? "This pool keeps no histograms: see PoolBuilder::histograms."
    : "No task was timed. Tasks with a name are.";
  setText(byId("times").parentNode.querySelector(".none"), none);
  const counted = all.filter((times) => times[which].count > 0);
  fill(byId("times"), counted, (times) => times.name === null ? "/all" : "/" + times.name, (times) => {
    const of = times[which];
    return [
      times.name === null ? "all timed tasks" : times.name, num(number.format(of.count)), num(duration(of.p50)),
      num(duration(of.p90)), num(duration(of.p99)), num(duration(of.p999)), num(duration(of.max)),
      { bar: [of.p50, of.p99] },
    ];
  });
}

function showPools(names) {
  const create = () => {
    const button = make("button");
    button.type = "button";
    button.addEventListener("click", () => {
      shown = button.number;
      delete byId("workers-wanted").dataset.edited;
      ask();
    });
    return button;
  };
  const items = names.map((name, n) => {
    const isSecond = names.indexOf(name) !== n;
    return [String(n), { name: isSecond ? name + " (" + (n + 1) + ")" : name, n }];
  });
  keyed(byId("pools"), items, create, (button, { name, n }) => {
    setText(button, name);
    button.number = n;
    button.setAttribute("aria-current", String(n === page.number));
  });
}

function show() {
  showPools(page.pools);
  showPanels(page.panels);
  byId("unlock").hidden = !page.allows_control || token !== null;
  byId("lock").hidden = token === null;
  byId("pool").hidden = page.pool === null;
  byId("resize").hidden = token === null;
  if (page.pool === null) return;
  const { stats } = page.pool;
  setText(document.querySelector("h1"), "millhand");
  const title = stats.pool + " · millhand";
  if (document.title !== title) document.title = title;
  showLine(stats, page.number);
  showTiles(byId("present"), PRESENT, stats);
  showTiles(byId("totals"), TOTALS, stats);
  showTasks(page.pool);
  showSchedules(page.pool);
  showTimes(page.pool);
  const wanted = byId("workers-wanted");
  if (document.activeElement !== wanted && !wanted.dataset.edited) wanted.value = stats.workers;
}

// Panels.

function makeHeading() {
  const heading = make("th");
  heading.scope = "col";
  return heading;
}

function showPanel(section, value, actions) {
  const n = section.panel;
  const act = (action, row) => control({ do: "act", panel: n, instance: page.instance, action: action.name, row });
  const perRow = token === null ? [] : actions.filter((action) => action.per_row);
  const whole = token === null ? [] : actions.filter((action) => !action.per_row);
  setButtons(section.querySelector(".buttons"), whole.map((action) => (
    { text: action.name, label: action.name, press: () => act(action, null) }
  )));
  const isObject = (one) => typeof one === "object" && one !== null && !Array.isArray(one);
  const plain = (one) => (typeof one === "object" && one !== null ? JSON.stringify(one) : String(one ?? ""));
  const isTable = Array.isArray(value) && value.length > 0 && value.every(isObject);
  const table = section.querySelector("table");
  const rest = section.querySelector("pre");
  rest.hidden = isTable;
  if (isTable) {
    const names = [...new Set(value.flatMap((row) => Object.keys(row)))];
    const headings = perRow.length > 0 ? [...names, ""] : names;
    keyed(table.tHead.rows[0], headings.map((name) => ["/" + name, name]), makeHeading, setText);
    const keyOf = (row) => ("id" in row ? plain(row.id) : plain(row));
    fill(table, value, keyOf, (row) => {
      const cells = names.map((name) => plain(row[name]));
      if (perRow.length === 0) return cells;
      const hasId = ["string", "number"].includes(typeof row.id);
      const buttons = (hasId ? perRow : []).map((action) => (
        { text: action.name, label: action.name + " " + row.id, press: () => act(action, String(row.id)) }
      ));
      return [...cells, { buttons }];
    });
    return;
  }
  table.hidden = true;
  if (isObject(value)) setText(rest, Object.entries(value).map(([name, one]) => name + ": " + plain(one)).join("\n"));
  else setText(rest, Array.isArray(value) ? value.map(plain).join("\n") || "none" : plain(value));
}

function showPanels(panels) {
  const create = (panel) => {
    const section = make("section", "", "wide");
    const table = make("table");
    table.createCaption().className = "hidden";
    setText(table.caption, panel.title);
    table.createTHead().insertRow();
    table.createTBody();
    table.hidden = true;
    const error = make("p", "", "error");
    error.setAttribute("role", "status");
    section.append(make("h2", panel.title), make("p", "", "buttons"), error, table, make("pre"));
    section.misses = 0;
    return section;
  };
  const items = panels.map((panel, n) => [n + "/" + panel.title, { ...panel, n }]);
  keyed(byId("panels"), items, create, (section, panel) => {
    section.panel = panel.n;
    section.actions = panel.actions;
  });
}

/** What a panel showed before is not shown beside its error. */
function showPanelError(section, text) {
  setText(section.querySelector(".error"), text);
  if (text === "") return;
  section.querySelector("table").hidden = true;
  section.querySelector("pre").hidden = true;
}

/** Asks one panel. `isWanted` says whether the answer is still the newest. */
async function askPanel(section, isWanted) {
  try {
    const answer = await get("panel.json?panel=" + section.panel);
    const isJson = (answer.headers.get("Content-Type") || "").startsWith("application/json");
    const value = isJson ? await answer.json() : (await answer.text()).trim();
    if (!isWanted()) return;
    // Another page may be asking: that is no error yet.
    section.misses = answer.status === 503 ? section.misses + 1 : 0;
    if (answer.ok) {
      showPanelError(section, "");
      showPanel(section, value, section.actions);
    } else if (answer.status !== 503 || section.misses > 2) {
      showPanelError(section, isJson ? String(value.error) : value);
    }
  } catch (error) {
    if (!isWanted()) return;
    const isLate = error.name === "TimeoutError";
    showPanelError(section, isLate ? "The panel takes too long." : "The program does not answer.");
  }
}

/** Asks the panels, on their own: one that hangs holds up no numbers. */
async function askPanels() {
  clearTimeout(panelTimer);
  const mine = ++panelPoll;
  for (const section of [...byId("panels").children]) {
    await askPanel(section, () => mine === panelPoll);
    if (mine !== panelPoll) return;
  }
  if (!document.hidden) panelTimer = setTimeout(askPanels, PERIOD);
}

// Requests.

function get(path) {
  return fetch(path, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT) });
}

function setStatus(text, isBad) {
  const status = byId("status");
  setText(status, text);
  status.classList.toggle("bad", isBad);
}

/** Asks now, and then each second while the page is seen. */
async function ask() {
  clearTimeout(timer);
  const mine = ++poll;
  try {
    const answer = await get("page.json?pool=" + shown);
    const text = answer.ok ? null : (await answer.text()).trim();
    const got = answer.ok ? await answer.json() : null;
    if (mine !== poll) return;
    if (got === null) {
      setStatus(text, true);
    } else {
      const isFirst = page === null;
      // The counts of another run of the program begin again.
      if (page !== null && page.instance !== got.instance) lines.clear();
      page = got;
      show();
      setStatus(page.pool && page.pool.closed ? "The pool is closed." : "", false);
      if (isFirst) askPanels();
    }
  } catch (error) {
    if (mine !== poll) return;
    const isGone = error.name === "TypeError" || error.name === "TimeoutError";
    setStatus(isGone ? "The program does not answer. Trying again." : String(error), true);
    if (!isGone) console.error(error);
  }
  if (mine === poll && !document.hidden) timer = setTimeout(ask, PERIOD);
}

/** Locks the page again. */
function lock() {
  token = null;
  show();
  for (const section of byId("panels").children) setButtons(section.querySelector(".buttons"), []);
  askPanels();
}

/** Sends a command, and shows what it did. Returns the status of the answer: 0 for none. */
async function control(command, secret = token) {
  const message = byId("message");
  let status = 0;
  try {
    const answer = await fetch("control", {
      method: "POST",
      headers: { "Content-Type": "application/json", Authorization: "Bearer " + secret },
      body: JSON.stringify(command),
      signal: AbortSignal.timeout(TIMEOUT),
    });
    const text = (await answer.text()).trim();
    status = answer.status;
    setText(message, text);
  } catch (error) {
    setText(message, "The program does not answer.");
  }
  message.classList.toggle("bad", status !== 200);
  if (status === 200) {
    ask();
    askPanels();
  } else if (status === 401 && secret === token) {
    // The program was restarted with another token.
    lock();
  }
  return status;
}

byId("unlock").addEventListener("submit", async (event) => {
  event.preventDefault();
  const input = byId("token");
  const secret = input.value;
  // A header holds no other characters.
  const status = /^[!-~]+$/.test(secret) ? await control({ do: "check" }, secret) : 401;
  if (status === 401) {
    setText(byId("message"), "The token is wrong.");
    byId("message").classList.add("bad");
  }
  if (status !== 200) return;
  input.value = "";
  token = secret;
  show();
  byId("lock").focus();
});

byId("lock").addEventListener("click", () => {
  setText(byId("message"), "");
  lock();
  byId("token").focus();
});

byId("workers-wanted").addEventListener("input", (event) => {
  event.target.dataset.edited = "yes";
});

byId("resize").addEventListener("submit", async (event) => {
  event.preventDefault();
  const wanted = byId("workers-wanted");
  const status = await control({ do: "resize", ...place(), workers: Number(wanted.value) });
  if (status === 200) delete wanted.dataset.edited;
});

byId("which-time").addEventListener("change", () => {
  if (page && page.pool) showTimes(page.pool);
});

document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  ask();
  askPanels();
});

ask();
