// The button that switches between the system's color scheme, light and dark.

const SCHEMES = ["auto", "light", "dark"];
const root = document.documentElement;

export function startSchemeButton(button) {
  const show = () => {
    const scheme = root.dataset.scheme ?? "auto";
    button.textContent = { auto: "◐ Auto", light: "○ Light", dark: "● Dark" }[scheme];
    button.setAttribute("aria-label", `Color scheme: ${scheme}`);
  };
  button.addEventListener("click", () => {
    const next = SCHEMES[(SCHEMES.indexOf(root.dataset.scheme ?? "auto") + 1) % SCHEMES.length];
    if (next === "auto") delete root.dataset.scheme;
    else root.dataset.scheme = next;
    try { localStorage.setItem("nextup-scheme", next); } catch { /* kept for this load only */ }
    show();
  });
  show();
}
