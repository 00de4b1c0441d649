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
  localize(document);
  document.addEventListener("htmx:load", (event) => localize(event.target));

  // Copy what a button names.
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    await navigator.clipboard.writeText(button.dataset.copy);
    document.getElementById("live").textContent = button.dataset.copied;
  });
})();
