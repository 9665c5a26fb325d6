// Work for elements that a person sees: it is done once, when the element comes into view.

const MARGIN = "25%";
const actions = new WeakMap();

const observer = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    observer.unobserve(target);
    actions.get(target)();
    actions.delete(target);
  }
}, { rootMargin: MARGIN });

/** Call `action` when the element is in view, or less than a quarter of the screen away from it. */
export function watchView(element, action) {
  actions.set(element, action);
  observer.observe(element);
}
