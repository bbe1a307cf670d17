// Keeps the marked parts of a page up to date: when the server reports a change, the page is fetched again and the parts that
// differ are replaced. Without this script every page is complete, and as old as its loading.
"use strict";
(() => {
  const parts = () => [...document.querySelectorAll("[data-live-part]")];
  const state = document.getElementById("live");
  if (!state || !window.EventSource || parts().length === 0) {
    return;
  }
  const show = (text) => {
    if (state.textContent !== text) {
      state.textContent = text;
    }
  };
  let busy = false;
  let again = false;

  const replace = (fresh) => {
    for (const part of parts()) {
      const next = fresh.getElementById(part.id);
      // A reader who has moved into a part by keyboard keeps it as it is.
      if (next && !part.contains(document.activeElement) && !next.isEqualNode(part)) {
        part.replaceWith(document.importNode(next, true));
      }
    }
  };

  const refresh = async () => {
    if (document.hidden) {
      return;
    }
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    try {
      const answer = await fetch(location.href, { redirect: "error", cache: "no-store" });
      if (answer.status === 401) {
        show("Your login has ended. Load the page again to log in.");
        source.close();
      } else if (answer.ok) {
        replace(new DOMParser().parseFromString(await answer.text(), "text/html"));
        show("Live.");
      } else {
        show(`The page cannot be brought up to date now (status ${answer.status}).`);
      }
    } catch {
      show("The console does not answer. The page shows the moment before.");
    } finally {
      busy = false;
      if (again) {
        again = false;
        refresh();
      }
    }
  };

  const source = new EventSource("/console/events");
  source.addEventListener("open", () => show("Live."));
  source.addEventListener("changed", refresh);
  source.addEventListener("tick", refresh);
  source.addEventListener("error", () => {
    // A stream that has ended is opened again by the browser; one that was refused is not.
    if (source.readyState === EventSource.CLOSED) {
      show("No live updates: load the page again.");
    }
  });
  document.addEventListener("visibilitychange", refresh);
})();
