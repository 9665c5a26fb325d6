// How much two ranked lists have in common.

/** Share of the first `k` items of one list that are in the first `k` of the other; null for empty lists. */
export function computeOverlap(left, right, k) {
  const size = Math.min(k, Math.max(left.length, right.length));
  if (size === 0) return null;
  const first = new Set(left.slice(0, k));
  return right.slice(0, k).filter((id) => first.has(id)).length / size;
}

/** The depths at which an overlap is shown, up to `k`. */
export const listDepths = (k) => [...new Set([1, 3, 5, 10, 20, 50, k])].filter((depth) => depth <= k).sort((a, b) => a - b);
