// Applies the stored color scheme before the first paint; a classic script, because modules run after it.
"use strict";
(() => {
  let scheme = null;
  try { scheme = localStorage.getItem("nextup-scheme"); } catch { /* storage is off: follow the system */ }
  if (scheme === "light" || scheme === "dark") document.documentElement.dataset.scheme = scheme;
})();
