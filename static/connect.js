// The grower's pages work without this file. It keeps a waiting page up to date
// and stops a second click on a button that is already on its way to John Deere.
const FIRST = 1000;
const LONGEST = 10000;
const GONE = [403, 404, 410];

const main = document.querySelector("main");
const live = document.getElementById("live");
let delay = FIRST;
let timer;
let etag;
let busy = false;

const waiting = () => main.dataset.polling === "true" && !document.querySelector("[data-sent]");

async function ask(url, headers = {}) {
  const answer = await fetch(url, { headers, cache: "no-store", signal: AbortSignal.timeout(9000) });
  // A page that is gone is told as such; any other refusal leaves what is there.
  if (!answer.ok && answer.status !== 304 && !GONE.includes(answer.status)) throw answer.status;
  return answer;
}

function show(html) {
  const page = new DOMParser().parseFromString(html, "text/html");
  const fresh = page.querySelector("main");
  if (!fresh || !waiting()) return;
  const focused = main.contains(document.activeElement) && document.activeElement;
  for (const name of Object.keys(main.dataset)) delete main.dataset[name];
  Object.assign(main.dataset, fresh.dataset);
  main.replaceChildren(...fresh.childNodes);
  document.title = page.title;
  live.textContent = main.querySelector("h1").textContent;
  if (focused) (document.getElementById(focused.id) || main).focus({ preventScroll: true });
}

async function poll() {
  clearTimeout(timer);
  if (busy || document.hidden || !waiting()) return;
  busy = true;
  try {
    const answer = await ask(main.dataset.stateUrl, etag ? { "If-None-Match": etag } : {});
    const told = answer.ok && (await answer.json());
    if (answer.status !== 304 && told.fingerprint !== main.dataset.fingerprint) {
      show(await (await ask(location.href)).text());
      delay = FIRST;
    }
    etag = answer.headers.get("ETag");
  } catch {
    // Offline or busy: what is shown stays, and the next try comes later.
  }
  busy = false;
  timer = setTimeout(poll, delay);
  delay = Math.min(delay * 1.5, LONGEST);
}

function now() {
  delay = FIRST;
  poll();
}

function release() {
  for (const form of document.querySelectorAll("[data-sent]")) {
    const button = form.querySelector("button");
    button.textContent = form.dataset.sent;
    button.removeAttribute("aria-disabled");
    delete form.dataset.sent;
  }
}

addEventListener("submit", (event) => {
  const form = event.target;
  const button = form.querySelector("[data-busy]");
  if (form.dataset.sent) event.preventDefault();
  else if (button) {
    form.dataset.sent = button.textContent;
    button.textContent = live.textContent = button.dataset.busy;
    button.setAttribute("aria-disabled", "true");
    setTimeout(release, 30000);
  }
});
addEventListener("pageshow", () => {
  release();
  now();
});
addEventListener("focus", now);
addEventListener("online", now);
document.addEventListener("visibilitychange", now);
