// Users of the store: completion of the input fields, and a random one.

import { callOptional } from "./api.js";
import { get, make } from "./dom.js";

const COMPLETIONS = 20;
const SAMPLE = 100;
const PAUSE_MS = 150;

const readUsers = async (prefix, limit) =>
  (await callOptional(`users?${new URLSearchParams({ prefix, limit })}`))?.users ?? null;

/** Without Redis there is no list for now; recommendations need none. */
function skipOutage(error) {
  if (error.status >= 500) return [];
  throw error;
}

/** Complete both user fields; the first recently active user is returned, null if the service lists none. */
export async function startCompletion(fields) {
  let isKnown = true;
  const first = await readUsers("", COMPLETIONS).catch((error) => { isKnown = false; return skipOutage(error); });
  if (first === null) return null;
  showCompletions(first);
  get("surprise").hidden = isKnown && first.length === 0;
  if (!fields[0].dataset.completes) {
    for (const field of fields) {
      field.dataset.completes = "true";
      watchField(field);
    }
  }
  return first[0]?.user_id ?? null;
}

function watchField(field) {
  let timer = 0;
  let turn = 0;
  field.addEventListener("input", () => {
    clearTimeout(timer);
    const own = ++turn;
    timer = setTimeout(async () => {
      const users = await readUsers(field.value.trim(), COMPLETIONS).catch(() => null);
      if (users !== null && own === turn) showCompletions(users);
    }, PAUSE_MS);
  });
}

function showCompletions(users) {
  get("users").replaceChildren(...users.map((user) => make("option", { value: user.user_id })));
}

/** A random user of a bounded sample, another one than `current` where there is one. */
export async function chooseUser(current) {
  const users = (await readUsers("", SAMPLE)) ?? [];
  const others = users.filter((user) => user.user_id !== current);
  const choices = others.length ? others : users;
  return choices.length ? choices[Math.floor(Math.random() * choices.length)].user_id : null;
}
