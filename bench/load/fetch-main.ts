/** Prints what a URL answers: how metrics are read from inside another network namespace. */
const response = await fetch(process.argv[2] ?? "", { signal: AbortSignal.timeout(5_000) });
process.stdout.write(await response.text());
