/** Pure. Counters out of Prometheus' text format. */

/** Sum over all series of `name` whose labels include the given ones. */
export function sumOfCounter(text: string, name: string, labels: Readonly<Record<string, string>>): number {
  const wanted = Object.entries(labels).map(([key, value]) => `${key}="${value}"`);
  let total = 0;
  for (const line of text.split("\n")) {
    if (!line.startsWith(`${name}{`)) continue;
    const end = line.lastIndexOf("}");
    const present = line.slice(name.length + 1, end).split(",");
    if (wanted.every((label) => present.includes(label))) total += Number(line.slice(end + 1).trim());
  }
  return total;
}
