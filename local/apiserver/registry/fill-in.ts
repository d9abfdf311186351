/** Pure. Sets what is absent; what is there stays. */
export function fillIn<T extends object>(
  target: T | undefined,
  defaults: { readonly [K in keyof T]?: T[K] },
): void {
  if (target === undefined) return;
  const fields = target as Record<string, unknown>;
  for (const [field, value] of Object.entries(defaults)) {
    if (fields[field] === undefined && value !== undefined) fields[field] = value;
  }
}
