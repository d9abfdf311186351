/** Pure. Nothing that came from elsewhere may steer the terminal: control characters become question marks. */
export function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, "?");
}

/** The same, line feeds kept. */
export function printableLines(text: string): string {
  return text.split("\n").map(printable).join("\n");
}
