/** Which part of a container's log is sent. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type LogRequest, sendLog } from "./log-reader.ts";

const MAX_LATE = 20;

/** The answer for a log of three lines whose writer adds a line each time that something is sent. */
async function answered(request: Partial<LogRequest>): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), "ambit-log-"));
  const path = join(directory, "0.log");
  writeFileSync(path, "one\ntwo\nthree\n");
  const none = { follow: false, tailLines: undefined, limitBytes: undefined };
  const server = createServer((_request, response) => {
    const write = response.write.bind(response);
    let late = 0;
    response.write = (chunk: Buffer): boolean => {
      if (late++ < MAX_LATE) appendFileSync(path, "late\n");
      return write(chunk);
    };
    void sendLog(response, { path, ...none, stillWritten: () => late < MAX_LATE, ...request });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    const { port } = server.address() as AddressInfo;
    return await (await fetch(`http://127.0.0.1:${port}/`)).text();
  } finally {
    server.close();
    rmSync(directory, { recursive: true });
  }
}

const rows: readonly (readonly [string, Partial<LogRequest>, string])[] = [
  ["all that is there, not what comes while it is sent", {}, "one\ntwo\nthree\n"],
  ["the last line of a busy log is one line", { tailLines: 1 }, "three\n"],
  ["more lines than there are", { tailLines: 9 }, "one\ntwo\nthree\n"],
  ["no lines", { tailLines: 0 }, ""],
  ["a number of bytes", { limitBytes: 5 }, "one\nt"],
  ["followed until the writer ends", { tailLines: 1, follow: true }, `three\n${"late\n".repeat(MAX_LATE)}`],
];

for (const [what, request, expected] of rows) {
  test(`a log: ${what}`, { timeout: 10_000 }, async () => assert.equal(await answered(request), expected));
}
