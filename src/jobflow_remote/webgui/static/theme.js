// Which colours: as the system has them unless the person said otherwise. Runs before the page is drawn.
"use strict";
{
  const chosen = (() => { try { return localStorage.getItem("theme"); } catch { return null; } })();
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
}
