// The frame in a partner's portal. What it believes is our own server; messages and windows prove nothing.
const main = document.getElementById("main");
const $ = (id) => document.getElementById(id);
const origins = main.dataset.origins.split(" ");
const HURRY = 120000; // so long it asks every second, in milliseconds
let token = location.hash.slice(1);
let portal, told, etag, timer, busy, pressed = 0, hurried = 0;

try {
  history.replaceState(null, "", location.pathname + location.search);
} catch {} // in a sandbox without an origin

function tell(message) {
  if (portal) parent.postMessage({ from: "connect-john-deere", ...message }, portal);
}

function report() {
  tell({ type: "event", event: told.event, connection: told.connection, state: told.state });
}

// What has not changed is not read out again.
function write(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}

function hide(id, hidden = true) {
  if (hidden && $(id).contains(document.activeElement)) $("title").focus({ preventScroll: true });
  $(id).hidden = hidden;
}

function show(now) {
  const isNews = told?.event !== now.event || told.state !== now.state;
  const isOpened = pressed && now.seen !== pressed.seen;
  told = now;
  $("told").hidden = $("more").hidden = false;
  $("told").className = `tone-${now.tone}`;
  for (const id of ["label", "title", "text"]) write(id, now[id]);
  hide("next", !now.action);
  write("go", now.action || "");
  $("go").href = now.popup;
  $("plain").href = $("here").href = $("page").href = now.page;
  hide("here-row", !now.comes_back);
  if (isNews || isOpened) close();
  if (isNews) {
    hurried = Date.now();
    report();
  }
}

function close() {
  pressed = 0;
  hide("ladder");
  write("hint", "");
}

function refuse(error) {
  token = "";
  hide("next");
  close();
  write("note", error === "token_expired" ? main.dataset.lost : main.dataset.refused);
  tell({ type: "event", event: "failed", connection: told && told.connection, state: error });
}

function ask(url, headers) {
  headers = { Authorization: `Bearer ${token}`, ...headers };
  return fetch(url, { headers, cache: "no-store", credentials: "omit", signal: AbortSignal.timeout?.(9000) });
}

async function poll() {
  clearTimeout(timer);
  if (busy || !token || document.hidden) return;
  busy = true;
  try {
    const answer = await ask(main.dataset.stateUrl, etag && { "If-None-Match": etag });
    // Asked too often: what is shown stays.
    if (answer.status >= 500 || (answer.status === 429 && !told)) throw answer.status;
    const known = answer.status !== 304 && answer.status <= 410 && (await answer.json());
    if (answer.ok) {
      etag = answer.headers.get("ETag");
      show(known);
    } else if (known) refuse(known.error);
    if (token) write("note", "");
  } catch {
    write("note", main.dataset.away);
  }
  busy = false;
  later();
}

function later() {
  clearTimeout(timer);
  const since = Date.now() - hurried;
  timer = setTimeout(poll, since < HURRY ? 1000 : since < 5 * HURRY ? 3000 : 15000);
}

function hurry() {
  hurried = Date.now();
  poll();
}

// At once and in the click itself: a window that opens later is blocked. Whether one has opened only
// the server knows; browsers answer null for windows that are there.
$("go").onclick = (event) => {
  event.preventDefault();
  const mine = (pressed = { seen: told.seen });
  try {
    open(told.popup, "connect-john-deere", "popup,width=560,height=800");
  } catch {} // Firefox, in a sandbox without allow-popups
  hurry();
  setTimeout(() => pressed === mine && ($("ladder").hidden = false), 2500);
};

$("copy").onclick = async () => {
  try {
    await navigator.clipboard.writeText(told.page);
    write("hint", main.dataset.copied);
  } catch {
    write("hint", told.page);
  }
};

$("show").onclick = async () => {
  const box = $("code");
  const opens = box.hidden;
  try {
    if (!box.firstChild) {
      const answer = await ask(main.dataset.codeUrl);
      if (!answer.ok) throw answer.status;
      // As within a page: it names no namespace.
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      box.replaceChildren(document.importNode(page.querySelector("svg"), true));
    }
  } catch {
    return write("hint", told.page); // what the code would have held
  }
  box.hidden = !opens;
  $("show").setAttribute("aria-expanded", opens);
};

// The portal speaks first, so that what we say goes to its exact origin and to no other.
onmessage = ({ source, origin, data }) => {
  if (source !== parent || !origins.includes(origin) || data?.to !== "connect-john-deere") return;
  // The doctor only wants to know whether somebody is here.
  if (data.hello) return source.postMessage({ from: "connect-john-deere", type: "hello" }, origin);
  portal = origin;
  token ||= String(data.token || "");
  tell({ type: "hello" });
  size();
  if (told) report();
  else poll();
};

const size = () => tell({ type: "size", height: Math.ceil(document.body.getBoundingClientRect().height) });
new ResizeObserver(size).observe(document.body);
onfocus = ononline = document.onvisibilitychange = hurry;
setTimeout(() => token || ($("note").textContent ||= main.dataset.refused), 5000);
hurry();
