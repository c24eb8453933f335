// What the page shows comes as snapshots, and is put in as text and nothing else.
"use strict";

const $ = id => document.getElementById(id);
const TOKEN = document.querySelector("meta[name=token]").content;
const TONES = {
  COMPLETED: "good", REFUNDED: "good", DECLINED: "fair", ACTION_REQUIRED: "fair", REJECTED: "fair",
  FAILED: "bad", UNKNOWN: "bad", REVIEW: "bad",
};
const OPEN = ["PENDING", "PROCESSING", "REFUNDING"];
// The rest is shown when there is one.
const ALWAYS = ["COMPLETED", "DECLINED", "REJECTED", "FAILED", "UNKNOWN"];
const tone = status => TONES[status] ?? "open";

function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A text in which `this` is code, and the path of a document, or its address, is a link. */
function putWords(element, text) {
  if (element.textContent === text.replaceAll("`", "")) return;
  const parts = text.split(/(`[^`]+`|(?:https:\/\/|\bdocs\/)[\w./-]+\.md(?:#[\w-]+)?)/);
  element.replaceChildren(...parts.map((part, n) => {
    if (n % 2 === 0) return document.createTextNode(part);
    return part.startsWith("`") ? make("code", "", part.slice(1, -1)) : link(part);
  }));
}

function link(address) {
  const anchor = make("a", "", address);
  anchor.href = address.startsWith("docs/") ? `/${address}` : address;
  anchor.target = "_blank";
  anchor.rel = "noopener";
  return anchor;
}

/** A time in UTC, to the minute, with its date unless that is today. */
function utc(at) {
  const [day, time] = [at.slice(0, 10), at.slice(11, 16)];
  return `${day === new Date().toISOString().slice(0, 10) ? "" : `${day} `}${time} UTC`;
}

/** Let `container` have a child for each item, in their order; what stays keeps its focus. */
function keep(container, items, keyOf, create, update) {
  const old = new Map([...container.children].map(child => [child.dataset.key, child]));
  let place = container.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    const child = old.get(key) ?? create(item);
    child.dataset.key = key;
    old.delete(key);
    update(child, item);
    if (child === place) place = place.nextElementSibling;
    else container.insertBefore(child, place);
  }
  for (const child of old.values()) child.remove();
}

// ---- counts

function showCounts(counts) {
  const open = OPEN.reduce((sum, status) => sum + (counts[status] ?? 0), 0);
  const others = Object.keys(counts).filter(status => !ALWAYS.includes(status) && !OPEN.includes(status));
  const tiles = [["open", open], ...[...ALWAYS, ...others].map(status => [status, counts[status] ?? 0])];
  keep($("counts"), tiles, ([name]) => name, ([name]) => {
    const tile = make("div");
    tile.append(make("dt", "", name === "open" ? "OPEN" : name), make("dd"));
    return tile;
  }, (tile, [name, count]) => {
    tile.className = `${tone(name)} ${count ? "" : "none"}`;
    put(tile.lastElementChild, String(count));
  });
  tell(tiles.filter(([, count]) => count).map(([name, count]) => `${count} ${name.toLowerCase()}`).join(", "));
}

let telling = 0;
/** Not every change: a reader who listens would hear nothing else. */
function tell(words) {
  clearTimeout(telling);
  telling = setTimeout(() => put($("announcement"), words || "no payments yet"), 1500);
}

// ---- the state machine

const states = new Map([...document.querySelectorAll(".state")].map(state => [state.dataset.state, state]));
const edges = new Map([...document.querySelectorAll("[data-edge]")].map(edge => [edge.dataset.edge, edge]));
let followed = null;

function showFlow(executions, running) {
  const now = new Map(), passed = new Map();
  for (const one of executions) {
    for (const state of new Set(one.path)) passed.set(state, (passed.get(state) ?? 0) + 1);
    const last = one.path.at(-1);
    if (one.status === "RUNNING" && last) now.set(last, (now.get(last) ?? 0) + 1);
  }
  for (const [name, state] of states) {
    const here = now.get(name) ?? 0, through = passed.get(name) ?? 0;
    state.classList.toggle("busy", here > 0);
    state.classList.toggle("reached", through > 0);
    put(state.querySelector(".passed"), through ? String(through) : "");
    put(state.querySelector(".now text"), String(here));
    put(state.querySelector("title"), `${name}: ${here} now, ${through} in total`);
  }
  put($("flow-note"), executions.length
    ? `${running} running; the numbers show how many of the last ${executions.length} executions reached each state`
    : "no payments yet");
  const before = followed;
  followed = new Map(executions.map(one => [one.id, one.path.length]));
  if (before) {
    for (const one of executions) {
      const from = before.get(one.id) ?? 0;
      if (one.path.length > from) move(one, Math.max(0, from - 1));
    }
  }
}

/** A dot that goes the way which the execution went since the last look. */
function move(execution, from) {
  if (document.hidden || matchMedia("(prefers-reduced-motion: reduce)").matches || $("dots").childElementCount > 40) return;
  const points = [];
  for (let n = from; n + 1 < execution.path.length; n++) points.push(...way(execution.path[n], execution.path[n + 1]));
  if (!points.length) return;
  const dot = document.createElementNS("http://www.w3.org/2000/svg", "circle");
  dot.setAttribute("r", "8");
  const ends = { PaymentComplete: "good", PaymentUnsuccessful: "fair" };
  dot.setAttribute("class", execution.status === "RUNNING" ? "open" : ends[execution.path.at(-1)] ?? "bad");
  $("dots").append(dot);
  const frames = points.map(({ x, y }) => ({ transform: `translate(${x}px, ${y}px)` }));
  dot.animate(frames, { duration: 550 * (execution.path.length - 1 - from), easing: "linear" }).onfinish = () => dot.remove();
}

function way(from, to) {
  const edge = edges.get(`${from}>${to}`);
  if (!edge) return [from, to].map(name => states.get(name)).filter(Boolean).map(middle);
  const length = edge.getTotalLength();
  return Array.from({ length: 13 }, (_, n) => edge.getPointAtLength(length * n / 12));
}

function middle(state) {
  const box = state.querySelector("rect").getBBox(), at = state.transform.baseVal.consolidate().matrix;
  return { x: at.e + box.width / 2, y: at.f + box.height / 2 };
}

/** Say that there is more beside what is seen, until it has been seen. */
function showHint() {
  const frame = $("flow-frame"), hidden = frame.scrollWidth - frame.clientWidth;
  $("flow-hint").hidden = hidden < 2;
  frame.classList.toggle("more", hidden - frame.scrollLeft > 1);
  frame.tabIndex = hidden < 2 ? -1 : 0;
}

$("flow-frame").addEventListener("scroll", showHint, { passive: true });
addEventListener("resize", showHint);

// ---- payments

let first = true;

function showPayments(payments) {
  keep($("payments"), payments, one => one.id, one => {
    const row = make("tr", first ? "" : "new");
    const id = make("button", "link", one.id);
    id.addEventListener("click", () => openStory(one.id));
    const name = make("td"), status = make("td");
    name.append(id, make("small"));
    status.append(make("span"), make("small"));
    row.append(name, status, make("td", "number"), make("td"), make("td", "number"), make("td", "number age"));
    return row;
  }, (row, one) => {
    const [name, status, amount, method, tries, age] = row.children;
    put(name.lastElementChild, one.why);
    status.firstElementChild.className = `status ${tone(one.status)}`;
    put(status.firstElementChild, one.status);
    const progress = [REDRIVES[one.redrive]?.[0], one.state && `in ${one.state}`];
    put(status.lastElementChild, progress.filter(Boolean).join(", "));
    put(amount, one.amount || "–");
    put(method, one.method || "–");
    put(tries, String(one.attempts));
    age.dataset.since = one.created_at;
    age.title = `created ${utc(one.created_at)}`;
    if (row.dataset.updated && row.dataset.updated !== one.updated_at && $("story").dataset.of === one.id) readStory(one.id);
    row.dataset.updated = one.updated_at;
  });
  $("no-payments").hidden = payments.length > 0;
  first = false;
  grow();
}

function grow() {
  for (const age of document.querySelectorAll("[data-since]")) put(age, span((Date.now() - Date.parse(age.dataset.since)) / 1000));
}

function span(seconds) {
  if (!(seconds >= 0)) return "0 s";
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return seconds < 86400 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86400)} d`;
}

setInterval(grow, 1000);

// ---- a payment's story

function openStory(id) {
  $("story").dataset.of = id;
  put($("story-title"), id);
  put($("story-head"), "loading…");
  $("timeline").replaceChildren();
  $("story").showModal();
  readStory(id);
}

async function readStory(id) {
  const story = await ask(`/payments/${encodeURIComponent(id)}`);
  if ($("story").dataset.of !== id) return;
  if (story.problem) {
    put($("story-head"), story.problem);
    return;
  }
  const payment = story.payment;
  const head = [payment.amount, payment.method && `by ${payment.method}`, payment.reference && `charged as ${payment.reference}`,
    `${payment.attempts} ${payment.attempts === 1 ? "attempt" : "attempts"}`, payment.why, `notified: ${story.notifications.join("; ") || "nobody"}`];
  $("story-head").replaceChildren(make("span", `status ${tone(payment.status)}`, payment.status),
    document.createTextNode(`  ${head.filter(Boolean).join(" · ")}`));
  let day = "";
  $("timeline").replaceChildren(...story.timeline.flatMap(entry => {
    const date = entry.at.slice(0, 10), lines = date === day ? [] : [make("li", "day", `${date} UTC`)];
    day = date;
    const line = make("li", entry.bad ? "bad" : ""), what = make("span", "what");
    const at = make("time", "", entry.at.slice(11, 23));
    at.dateTime = entry.at;
    what.append(make("b", "", entry.summary), makeBreakable(entry.detail));
    line.append(at, make("span", "source", entry.source), what);
    return [...lines, line];
  }));
}

/** A detail that breaks between the states of a path, rather than in their names. */
function makeBreakable(text) {
  const element = make("small");
  element.append(...text.split(/(?<=→)/).flatMap(part => [part, make("wbr")]));
  return element;
}

$("story").addEventListener("close", () => delete $("story").dataset.of);

// ---- dead letters

// What came of a redrive, by the status of its execution: in a list, and in full.
const REDRIVES = {
  RUNNING: ["redriven", "redriven: running"],
  SUCCEEDED: ["redriven", "redriven: it has its outcome now"],
  FAILED: ["redriven, failed again", "redriven: it failed again, and left a new dead letter"],
  TIMED_OUT: ["redriven, timed out", "redriven: its execution timed out"],
  ABORTED: ["redriven, aborted", "redriven: its execution was aborted"],
};

function showRedrives(redrives) {
  keep($("redrives"), redrives, one => one.payment, one => {
    const line = make("li"), id = make("button", "link", one.payment);
    id.addEventListener("click", () => openStory(one.payment));
    line.append(id, make("span"), make("small"));
    return line;
  }, (line, one) => {
    const [, status, words] = line.children;
    status.className = `status ${tone(one.status)}`;
    put(status, one.status);
    put(words, REDRIVES[one.redrive]?.[1] ?? "redriven");
  });
}

function showLetters(letters) {
  keep($("letters"), [...letters].reverse(), one => one.id, one => {
    const letter = make("li"), top = make("div", "top");
    const id = make("button", "link"), again = make("button", "redrive", "Redrive");
    id.addEventListener("click", () => openStory(one.payment));
    again.addEventListener("click", () => redrive(one, again, letter.lastElementChild));
    top.append(id, again);
    letter.append(top, make("span", "status bad"), make("small", "at"), make("small", "why"), make("small", "advice"), make("p", "answer bad"));
    letter.lastElementChild.setAttribute("role", "alert");
    return letter;
  }, (letter, one) => {
    const [top, error, at, why, advice] = letter.children, [id, again] = top.children;
    put(id, one.payment || "no payment");
    id.disabled = !one.payment;
    again.setAttribute("aria-label", `Redrive ${one.payment}`);
    again.classList.toggle("refused", !one.can_be_redriven);
    again.title = one.can_be_redriven ? "" : one.advice.replaceAll("`", "");
    offer(again);
    put(error, one.state ? `${one.error} in ${one.state}` : one.error);
    put(at, one.at ? utc(one.at) : "");
    putWords(why, one.explanation);
    const advices = [one.redrive === "FAILED" && "its last redrive failed, too", one.advice].filter(Boolean).join("; ");
    putWords(advice, `${one.current_status ? `now ${one.current_status}: ` : ""}${advices}`);
  });
  put($("letters-count"), letters.length ? String(letters.length) : "");
  $("no-letters").hidden = letters.length > 0;
}

// ---- alarms

function showAlarms(alarms) {
  const ringing = alarms.filter(one => one.state === "ALARM"), quiet = alarms.filter(one => one.state !== "ALARM");
  for (const [list, some] of [[$("ringing"), ringing], [$("alarms"), quiet]]) {
    keep(list, some, one => one.name, () => {
      const alarm = make("li");
      alarm.append(make("b"), make("small", "since"), make("small", "what"), make("small", "to-do"));
      return alarm;
    }, (alarm, one) => {
      const [name, since, what, toDo] = alarm.children;
      put(name, one.state === "INSUFFICIENT_DATA" ? `${one.name} (no data yet)` : one.name);
      put(since, `${one.state === "ALARM" ? "in ALARM" : "unchanged"} since ${utc(one.since)}`);
      put(what, one.what);
      putWords(toDo, one.to_do ? `what to do: ${one.to_do}` : "");
    });
  }
  put($("alarms-count"), ringing.length ? `${ringing.length} of ${alarms.length} in ALARM` : "");
  put($("quiet").firstElementChild, `${quiet.length} not in ALARM`);
  $("quiet").hidden = quiet.length === 0;
}

// ---- what the page does

async function ask(path, body) {
  try {
    const options = body && { method: "POST", headers: { "Content-Type": "application/json", "X-Token": TOKEN }, body: JSON.stringify(body) };
    return await (await fetch(path, options)).json();
  } catch {
    return { problem: "the page's server is not responding" };
  }
}

/** It can be pressed unless it would be refused, or has been pressed and not answered yet. */
function offer(button) {
  button.disabled = button.classList.contains("refused") || button.classList.contains("asking");
}

async function redrive(one, button, complaint) {
  button.classList.add("asking");
  offer(button);
  const answer = await ask("/redrive", { letter: one.id });
  // The letter goes with one of the next snapshots.
  if (answer.problem) button.classList.remove("asking");
  offer(button);
  // A letter that somebody else has redriven takes its complaint along.
  const isGone = !complaint.isConnected;
  $("redriven").classList.toggle("bad", isGone && Boolean(answer.problem));
  put($("redriven"), answer.message ?? (isGone ? `${one.payment}: ${answer.problem}` : ""));
  putWords(complaint, answer.problem ?? "");
}

function showExamples(examples) {
  keep($("examples"), examples, one => one.name, one => {
    const button = make("button");
    button.append(make("span", "", one.what), make("span", "", one.amount));
    button.addEventListener("click", () => pay(button, one));
    return button;
  }, () => {});
}

async function pay(button, one) {
  button.disabled = true;
  const answer = await ask("/pay", { example: one.name });
  button.disabled = false;
  $("paid").classList.toggle("bad", Boolean(answer.problem));
  put($("paid"), answer.problem ?? `sent ${answer.message}`);
}

// ---- events

function show(snapshot) {
  put($("problem"), snapshot.problem ?? "");
  if (snapshot.problem) connection("lost", "no data");
  else connection(snapshot.waiting ? "waiting" : "live", snapshot.waiting ?? "live");
  if (snapshot.problem || snapshot.waiting) return;
  put($("environment"), snapshot.environment);
  $("environment").hidden = false;
  showCounts(snapshot.counts);
  showFlow(snapshot.executions, snapshot.running);
  showPayments(snapshot.payments);
  showLetters(snapshot.letters);
  showRedrives(snapshot.redrives);
  showAlarms(snapshot.alarms);
}

function connection(state, words) {
  $("connection").dataset.state = state;
  put($("connection"), words);
  document.body.classList.toggle("lost", state === "lost");
}

function connect() {
  const events = new EventSource("/events");
  events.addEventListener("hello", event => {
    const hello = JSON.parse(event.data);
    // Another server than the one that made this page: it has another page, too.
    if (hello.token !== TOKEN) location.reload();
    showExamples(hello.examples);
  });
  events.addEventListener("snapshot", event => show(JSON.parse(event.data)));
  events.addEventListener("error", () => {
    connection("lost", "connection lost: the server has stopped or is busy; reconnecting");
    // It tries again by itself unless it was refused.
    if (events.readyState === EventSource.CLOSED) setTimeout(connect, 2000);
  });
}

showCounts({});
showHint();
connect();
