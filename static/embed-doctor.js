// What keeps "Connect John Deere" from working on a page in development, in its console. embed.js
// loads it on localhost, and where the element has the attribute `debug`. See docs/partners.md.
(() => {
  const NAME = "connect-john-deere";
  const PATIENCE = 5000; // so long a frame may take to answer, in milliseconds
  const MATTER = [
    "content-security-policy",
    "cross-origin-opener-policy",
    "cross-origin-embedder-policy",
    "permissions-policy",
  ];
  const said = new Set();
  const looked = new WeakMap();
  const pause = (time) => new Promise((done) => setTimeout(done, time));

  // Said once: elements come and go on pages that never load again.
  function say(how, text, value) {
    const line = `[${NAME}] ${text}${value ? `\n    ${value}` : ""}`;
    if (!said.has(line)) console[how](line);
    said.add(line);
  }

  function framesOf(base) {
    const roots = [document, ...[...document.querySelectorAll(NAME)].map((one) => one.shadowRoot)];
    const all = roots.flatMap((root) => [...(root?.querySelectorAll("iframe") ?? [])]);
    return all.filter((one) => one.src.startsWith(`${base}/embed/`));
  }

  // The frame answers a page of its partner's origins, and no other. Nothing secret is in the
  // question, and a frame in a sandbox has no origin to address it to.
  async function answers(frame) {
    let heard = false;
    const hear = ({ source, data }) => (heard ||= source === frame.contentWindow && data?.from === NAME);
    addEventListener("message", hear);
    for (let waited = 0; !heard && waited < PATIENCE; waited += 250) {
      frame.contentWindow?.postMessage({ to: NAME, hello: true }, "*");
      await pause(250);
    }
    removeEventListener("message", hear);
    return heard;
  }

  async function headersOfThisPage() {
    for (const method of ["HEAD", "GET"]) {
      try {
        const { ok, headers } = await fetch(location.href, { method, cache: "no-store" });
        if (ok) return Object.fromEntries(MATTER.flatMap((name) => (headers.has(name) ? [[name, headers.get(name)]] : [])));
      } catch {} // its own policy may forbid even that
    }
    return null;
  }

  async function pageWith(base, frames) {
    const metas = [...document.querySelectorAll("meta[http-equiv]")];
    return {
      origin: self.origin,
      ancestors: [...(location.ancestorOrigins ?? [])].slice(0, 20),
      loader: base,
      headers: await headersOfThisPage(),
      policies: metas.filter((one) => one.httpEquiv.toLowerCase() === MATTER[0]).map((one) => one.content),
      frames: await Promise.all(
        frames.slice(0, 20).map(async (one) => ({
          sandbox: one.getAttribute("sandbox"),
          // embed.js makes its own as it should be.
          allow: one.dataset.loader ? null : one.getAttribute("allow") ?? "",
          answered: await answers(one),
        })),
      ),
      clock: Date.now() / 1000,
    };
  }

  async function ask(base, slug, token, page) {
    let refused;
    const see = (event) => (refused ||= event.effectiveDirective === "connect-src" && event.blockedURI.startsWith(base));
    addEventListener("securitypolicyviolation", see);
    try {
      const answer = await fetch(`${base}/embed/${encodeURIComponent(slug)}/check`, {
        method: "POST",
        headers: { "Content-Type": "application/json", ...(token && { Authorization: `Bearer ${token}` }) },
        body: JSON.stringify(page),
        credentials: "omit",
      });
      if (answer.ok) return await answer.json();
      say("warn", `The check was answered with ${answer.status}. Load the page again in a minute.`);
    } catch {
      // Browsers tell of their refusal a little later.
      for (let waited = 0; !refused && waited < 2000; waited += 250) await pause(250);
      if (refused)
        say("warn", "Your Content-Security-Policy keeps the doctor from asking. While you develop, add to it:", `connect-src 'self' ${base}`);
      else say("error", `${base} gives this page no answer. Does it run, is it the right address, or was it asked too often?`);
    } finally {
      removeEventListener("securitypolicyviolation", see);
    }
    say("info", "The same by hand:", `${base}/embed/${encodeURIComponent(slug)}/doctor?address=${encodeURIComponent(self.origin)}`);
  }

  function tell({ findings, page }) {
    for (const { kind, text, value } of findings)
      if (kind !== "fine") say(kind === "wrong" ? "error" : "info", `${kind === "wrong" ? "✗" : "–"} ${text}`, value);
    const wrong = findings.filter(({ kind }) => kind === "wrong").length;
    if (wrong) say("info", `To change: ${wrong}. The same as a page:`, page);
    else say("info", `✓ Nothing to change; looked at: ${[...new Set(findings.map(({ code }) => code))].join(", ")}.`);
  }

  async function look(base) {
    for (const one of document.querySelectorAll(NAME))
      for (const name of ["partner", "token"])
        if (!one.getAttribute(name)) say("error", `✗ The element has no ${name}: <${NAME} partner="…" token="…">`);
    const frames = framesOf(base).filter((one) => looked.get(one) !== one.src);
    for (const src of new Set(frames.map((one) => one.src))) {
      const alike = frames.filter((one) => one.src === src);
      for (const one of alike) looked.set(one, src);
      const { pathname, hash } = new URL(src);
      const found = await ask(base, decodeURIComponent(pathname.split("/")[2]), hash.slice(1), await pageWith(base, alike));
      if (found) tell(found);
    }
  }

  let last = Promise.resolve();
  window.connectJohnDeereDoctor = (base) => (last = last.then(() => look(base)));
})();
