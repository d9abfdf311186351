/** Pure. Label selectors. */

type Labels = Readonly<Record<string, string>>;

/** Every selector label is there with that value; an empty selector matches everything. */
export function selectorMatches(selector: Labels, labels: Labels): boolean {
  return Object.entries(selector).every(
    ([key, value]) => Object.hasOwn(labels, key) && labels[key] === value,
  );
}

/** How services select: an empty selector selects nothing. */
export function serviceSelects(selector: Labels, labels: Labels): boolean {
  return Object.keys(selector).length > 0 && selectorMatches(selector, labels);
}
