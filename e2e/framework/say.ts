/** Lines that a suite prints about what it measured; a test's verdict never depends on them. */
export function say(line: string): void {
  process.stdout.write(`# ${line}\n`);
}
