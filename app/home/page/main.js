// Starts the page: views by address, the key, the color scheme.

import { buildAddress, changeState, followLinks, readState, VIEWS, watchState } from "./address.js";
import { forgetItems } from "./catalogue.js";
import { showComparison, startCompareView } from "./compare_view.js";
import { get } from "./dom.js";
import { showExperiments } from "./experiments_view.js";
import { startItemSearch } from "./item_search.js";
import { showItem } from "./item_view.js";
import { startKeyForm } from "./key_form.js";
import { showLive } from "./live_view.js";
import { clearProblem, showProblem } from "./messages.js";
import { showModel } from "./model_strip.js";
import { showRecommendations, startRecommendView } from "./recommend_view.js";
import { startSchemeButton } from "./scheme_button.js";
import { startCompletion } from "./users.js";

const DEMO_USER = "ada";
const SHOW = {
  recommend: showRecommendations, item: showItem, compare: showComparison, live: showLive, experiments: showExperiments,
};
const TITLES = { recommend: "Recommend", item: "Items", compare: "Compare", live: "Live", experiments: "Experiments" };

function showView(state) {
  for (const view of VIEWS) get(`view-${view}`).hidden = view !== state.view;
  for (const link of get("views").children) {
    link.href = buildAddress({ view: link.dataset.view });
    if (link.dataset.view === state.view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${TITLES[state.view]} · nextup`;
  clearProblem();
  return SHOW[state.view](state);
}

/** Read everything again: at the start, and with another key. */
async function start() {
  forgetItems();
  try {
    const [first] = await Promise.all([
      startCompletion([get("user"), get("compare-user")]),
      showModel(),
    ]);
    const state = readState();
    if (!state.user && !state.history) changeState({ user: first ?? DEMO_USER }, { replace: true, quiet: true });
  } catch (error) {
    showProblem(error);
    showFirstView();
    return;
  }
  await showView(readState());
}

/** Without an answer of the service, the address still decides which view is open. */
function showFirstView() {
  for (const view of VIEWS) get(`view-${view}`).hidden = view !== readState().view;
}

startSchemeButton(get("scheme"));
startKeyForm(() => void start());
startRecommendView();
startItemSearch();
startCompareView();
followLinks(document.body);
watchState((state) => void showView(state));
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  get("main").focus();
});
void start();
