/** Pure. The one order of texts in encoded messages: by UTF-16 code unit, independent of any locale. */
export function byteOrder(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
