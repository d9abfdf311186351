/** The source files from which reference pages are made: the product's own, without tests and what serves tests. */
import { globSync, readFileSync } from "node:fs";

export interface SourceFile {
  /** From the project's root. */
  readonly path: string;
  readonly text: string;
}

const FOLDERS = "{core,ztunnel,waypoint,istio-cni,controller,cli,local}";

/** Sorted by path. */
export function productSources(): readonly SourceFile[] {
  return globSync(`${FOLDERS}/**/*.ts`)
    .filter((path) => !/\.test\.ts$|\.gen\.ts$|\/testing\/|\/test\/|\/testing\.ts$/.test(path))
    .toSorted()
    .map((path) => ({ path, text: readFileSync(path, "utf8") }));
}

/** A cell of a Markdown table. */
export function cell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll("\n", " ").trim();
}

export function generatedFrom(what: string): string {
  return `<!-- Made from ${what}. To renew: UPDATE_GOLDEN=1 node --test test/docs.test.ts -->`;
}
