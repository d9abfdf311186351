/**
 * Pure. Tables as Go's text/tabwriter makes them for kubectl and istioctl: a column is as wide as its widest cell
 * plus the padding, and the last cell of a line is not padded.
 */

import { printable } from "./printable.ts";

export interface TableOptions {
  /** Blanks between columns; istioctl uses 1, and 5 for certificates. */
  readonly padding?: number;
}

/** Every line ends with a line feed. Control characters in cells are replaced: cells may come from the cluster. */
export function renderTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  options: TableOptions = {},
): string {
  const padding = options.padding ?? 1;
  const lines = [header, ...rows].map((row) => row.map(printable));
  const widths = header.map(
    (_, column) => Math.max(...lines.map((cells) => widthOf(cells[column] ?? ""))) + padding,
  );
  return lines
    .map((cells) => {
      const last = cells.length - 1;
      return cells.map((cell, i) => (i === last ? cell : pad(cell, widths[i] ?? 0))).join("");
    })
    .map((line) => `${line}\n`)
    .join("");
}

/** Characters, not UTF-16 units. */
function widthOf(text: string): number {
  return Array.from(text).length;
}

function pad(text: string, width: number): string {
  return text + " ".repeat(width - widthOf(text));
}
