// The grower's pages work without this file. It keeps a waiting page up to date, and stops
// a second click on a button that is already on its way to John Deere.
const FIRST = 1000; // milliseconds between two questions, growing to LONGEST
const LONGEST = 10000;
const TIMEOUT = 9000;
const GONE = [403, 404, 410]; // the link was withdrawn meanwhile: the page says so

const main = document.querySelector("main");
const live = document.getElementById("live");
let delay = FIRST;
let timer;
let etag;
let busy = false;

const waiting = () => main.dataset.polling === "true" && !document.querySelector("[data-sent]");

async function ask(url, headers) {
  const answer = await fetch(url, { headers, cache: "no-store", signal: AbortSignal.timeout?.(TIMEOUT) });
  if (!answer.ok && answer.status !== 304 && !GONE.includes(answer.status)) throw answer.status;
  return answer;
}

function show(html) {
  const page = new DOMParser().parseFromString(html, "text/html");
  const fresh = page.querySelector("main");
  if (!fresh || !waiting()) return;
  const focused = main.contains(document.activeElement) && document.activeElement;
  for (const name in main.dataset) delete main.dataset[name];
  Object.assign(main.dataset, fresh.dataset);
  main.innerHTML = fresh.innerHTML;
  document.title = page.title;
  live.textContent = main.querySelector("h1").textContent;
  if (focused) (document.getElementById(focused.id) || main).focus({ preventScroll: true });
}

async function update() {
  const answer = await ask(main.dataset.stateUrl, etag ? { "If-None-Match": etag } : {});
  if (answer.status === 304) return;
  const { fingerprint, polling } = answer.ok ? await answer.json() : {};
  if (fingerprint !== main.dataset.fingerprint) {
    delay = FIRST;
    show(await (await ask(location.href)).text());
  } else main.dataset.polling = polling;
  // Kept only for what is on the screen, else a page that lags behind would stay.
  etag = fingerprint === main.dataset.fingerprint ? answer.headers.get("ETag") : "";
}

async function poll() {
  clearTimeout(timer);
  if (busy || document.hidden || !waiting()) return;
  busy = true;
  // Offline or refused: what is shown stays, and the next question comes later.
  await update().catch(() => {});
  busy = false;
  clearTimeout(timer);
  timer = setTimeout(poll, delay);
  delay = Math.min(delay * 1.5, LONGEST);
}

function now() {
  delay = FIRST;
  poll();
}

// Also after Back, where the browser shows the page as it was left.
function ready() {
  for (const form of document.querySelectorAll("[data-sent]")) {
    const button = form.querySelector("button");
    button.textContent = form.dataset.sent;
    button.removeAttribute("aria-disabled");
    delete form.dataset.sent;
  }
  live.textContent = "";
  delay = FIRST;
  clearTimeout(timer);
  timer = setTimeout(poll, delay);
}

addEventListener("submit", (event) => {
  const form = event.target;
  const button = form.querySelector("[data-busy]");
  if (form.dataset.sent) event.preventDefault();
  else if (button) {
    form.dataset.sent = button.textContent;
    button.textContent = live.textContent = button.dataset.busy;
    button.setAttribute("aria-disabled", "true");
    setTimeout(ready, 30000);
  }
});
addEventListener("pageshow", ready);
addEventListener("focus", now);
addEventListener("online", now);
document.addEventListener("visibilitychange", now);
