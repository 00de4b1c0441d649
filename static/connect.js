// Pages work without this. It keeps a waiting page up to date and stops second clicks.
const FIRST = 1000; // milliseconds
const LONGEST = 10000;
const live = document.getElementById("live");
const sent = () => document.querySelector("[data-sent]");
let main = document.querySelector("main");
let delay, timer, etag, busy;

async function ask(url, headers) {
  const answer = await fetch(url, { headers, cache: "no-store", signal: AbortSignal.timeout?.(9000) });
  // Up to 410 (link withdrawn) the page itself tells it; 429 and 5xx pass.
  if (answer.status > 410) throw answer.status;
  return answer;
}

function show(html) {
  const page = new DOMParser().parseFromString(html, "text/html");
  const fresh = page.querySelector("main");
  if (!fresh || sent() || fresh.dataset.fingerprint === main.dataset.fingerprint) return;
  const focused = document.activeElement;
  // A link that was withdrawn says no more for whom it was.
  document.querySelector("header").replaceWith(page.querySelector("header"));
  main.replaceWith(fresh);
  main = fresh;
  leave();
  delay = FIRST;
  if (document.title !== page.title) live.textContent = main.querySelector("h1").textContent;
  document.title = page.title;
  if (!focused.isConnected) (document.getElementById(focused.id) || main).focus({ preventScroll: true });
}

async function update() {
  const answer = await ask(main.dataset.stateUrl, etag && { "If-None-Match": etag });
  if (answer.status === 304) return;
  const { fingerprint } = answer.ok ? await answer.json() : {};
  if (fingerprint !== main.dataset.fingerprint) show(await (await ask(location.href)).text());
  // Kept only for what is shown, else a page that lags behind would stay.
  etag = fingerprint === main.dataset.fingerprint && answer.headers.get("ETag");
}

async function poll() {
  if (busy || document.hidden || sent() || main.dataset.polling !== "true") return;
  busy = true;
  await update().catch(() => {}); // offline: what is shown stays
  busy = false;
  later();
}

function later() {
  clearTimeout(timer);
  timer = setTimeout(poll, delay);
  delay = Math.min(delay * 1.5, LONGEST);
}

function now() {
  delay = FIRST;
  poll();
}

// A window that a frame opened, with nothing left to do in it.
const leave = () => setTimeout(() => main.dataset.closes && close(), 2500);

// Also after Back, when the page is as it was left.
function ready() {
  const form = sent();
  if (form) {
    const button = form.querySelector("button");
    button.textContent = form.dataset.sent;
    button.removeAttribute("aria-disabled");
    delete form.dataset.sent;
  }
  delay = FIRST;
  later();
}

onsubmit = (event) => {
  const form = event.target;
  const button = form.querySelector("[data-busy]");
  if (sent()) event.preventDefault();
  else if (button) {
    form.dataset.sent = button.textContent;
    button.textContent = live.textContent = button.dataset.busy;
    button.setAttribute("aria-disabled", true);
    setTimeout(ready, 30000);
  }
};
leave();
onpageshow = ready;
onfocus = ononline = document.onvisibilitychange = now;
