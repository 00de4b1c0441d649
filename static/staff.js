// The dashboard works without any of this.
(() => {
  "use strict";

  // The menu stands open where there is room for it.
  const menu = document.getElementById("menu");
  const wide = matchMedia("(min-width: 60rem)");
  const fit = () => {
    if (menu) menu.open = wide.matches;
  };
  fit();
  wide.addEventListener("change", fit);

  // Absolute times in the viewer's own zone.
  const zone = new Intl.DateTimeFormat(document.documentElement.lang, {
    dateStyle: "medium",
    timeStyle: "long",
  });
  const localize = (root) => {
    for (const time of root.querySelectorAll("time[datetime]")) {
      time.title = zone.format(new Date(time.dateTime));
    }
  };
  const offerCopies = (root) => {
    for (const button of root.querySelectorAll("[data-copy]")) button.hidden = false;
  };
  localize(document);
  offerCopies(document);
  document.addEventListener("htmx:load", (event) => {
    localize(event.target);
    offerCopies(event.target);
  });

  // Copy what a button names.
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    await navigator.clipboard.writeText(button.dataset.copy);
    document.getElementById("live").textContent = button.dataset.copied;
  });

  // The table of connections: how many are ticked.
  const count = () => {
    const selection = document.getElementById("selection");
    if (!selection) return;
    const page = document.getElementById("pick-page");
    const picked = document.getElementById("picked");
    const ticks = [...selection.querySelectorAll("[name=reference]")];
    const number = ticks.filter((tick) => tick.checked).length;
    page.hidden = false;
    page.checked = number === ticks.length;
    page.indeterminate = number > 0 && !page.checked;
    picked.dataset.before ??= picked.textContent;
    picked.textContent =
      number && !document.getElementById("pick-all").checked
        ? selection.dataset.selected.replace("{n}", String(number))
        : picked.dataset.before;
  };
  document.addEventListener("change", (event) => {
    if (!event.target.closest("#selection")) return;
    if (event.target.id === "pick-page") {
      for (const tick of document.querySelectorAll("#selection [name=reference]")) {
        tick.checked = event.target.checked;
      }
    }
    count();
  });
  count();

  // Another question to it is answered in place.
  const isTable = (event) => event.detail.target?.id === "found";
  let searched = null;
  document.addEventListener("htmx:confirm", (event) => {
    if (!isTable(event)) return;
    const { elt, triggeringEvent } = event.detail;
    const now = elt.id === "asking" ? document.getElementById("q").value : null;
    // Enter was faster than the pause after the last letter: it is not asked for twice.
    if (triggeringEvent?.type === "input" && now === searched) event.preventDefault();
    searched = now;
  });
  document.addEventListener("htmx:beforeSwap", (event) => {
    // What can't be meant is answered by the page that says why.
    if (!isTable(event) || event.detail.xhr.status !== 400) return;
    event.detail.shouldSwap = true;
    event.detail.isError = false;
  });
  for (const trouble of ["htmx:responseError", "htmx:sendError"]) {
    document.addEventListener(trouble, (event) => {
      // Any other trouble is a page of its own, so that nobody takes old rows for new ones.
      if (isTable(event)) location.assign(event.detail.pathInfo.finalRequestPath);
    });
  }
  document.addEventListener("htmx:beforeHistoryUpdate", (event) => {
    // One goes back to what was searched for before, and not by letters.
    const { history, requestConfig } = event.detail;
    if (requestConfig.triggeringEvent?.type === "input") history.type = "replace";
  });
  document.addEventListener("htmx:afterSettle", (event) => {
    if (!isTable(event)) return;
    const told = document.getElementById("count");
    document.getElementById("live").textContent = told.textContent.trim().replace(/\s+/g, " ");
    // Who presses Enter goes on among the rows. Else what had the focus keeps it, unless it is
    // gone: a filter that was taken away, or the end of the page before.
    const isAsked = event.detail.requestConfig.triggeringEvent?.type === "submit";
    if (isAsked || document.activeElement === document.body) told.focus({ preventScroll: true });
    count();
  });

  // Keys for those who want them.
  const keys = document.getElementById("keys");
  const rows = () => [...document.querySelectorAll(".to-row")];

  if (keys) {
    const on = document.getElementById("keys-on");
    const wanted = "staff-keys";
    keys.hidden = false;
    on.checked = localStorage.getItem(wanted) !== "off";
    on.addEventListener("change", () => localStorage.setItem(wanted, on.checked ? "on" : "off"));
    document.addEventListener("keydown", (event) => {
      const { target, key } = event;
      if (!on.checked || event.ctrlKey || event.metaKey || event.altKey) return;
      if (target.closest("textarea, select, input:not([type=checkbox])")) return;
      const found = rows();
      const here = found.findIndex((row) => row.closest("tr").contains(document.activeElement));
      if (key === "/") {
        const search = document.getElementById("q");
        search.focus();
        search.select();
      } else if (key === "j" || key === "k") {
        const next = here < 0 ? 0 : here + (key === "j" ? 1 : -1);
        found[Math.min(Math.max(next, 0), found.length - 1)]?.focus();
      } else if (key === "x" && here >= 0) {
        found[here].closest("tr").querySelector("[name=reference]").click();
      } else {
        return;
      }
      event.preventDefault();
    });
  }
})();
