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

  // The table of connections: keys for those who want them, and how many are ticked.
  const selection = document.getElementById("selection");
  const search = document.getElementById("q");
  const keys = document.getElementById("keys");
  const rows = () => [...document.querySelectorAll(".to-row")];
  const ticks = () => [...selection.querySelectorAll("[name=reference]")];

  if (selection) {
    const page = document.getElementById("pick-page");
    const all = document.getElementById("pick-all");
    const picked = document.getElementById("picked");
    const before = picked.textContent;
    const count = () => {
      const number = ticks().filter((tick) => tick.checked).length;
      page.checked = number === ticks().length;
      page.indeterminate = number > 0 && !page.checked;
      picked.textContent =
        number && !all.checked
          ? selection.dataset.selected.replace("{n}", String(number))
          : before;
    };
    page.hidden = false;
    page.addEventListener("change", () => {
      for (const tick of ticks()) tick.checked = page.checked;
      count();
    });
    selection.addEventListener("change", count);
    count();
  }

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
