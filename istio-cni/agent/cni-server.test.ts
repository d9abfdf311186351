/** The socket of the CNI plugin: root alone reaches it, strangers are cut off, junk disturbs nobody. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { request } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { createLog } from "#core/runtime/log.ts";
import type { CniHandler } from "./cni-handler.ts";
import { serveCni } from "./cni-server.ts";
import { RefusalCounts } from "./refusals.ts";

let folder: string;
let path: string;
let lines: string[];
let refusals: RefusalCounts;
let handled: number;
let close: () => Promise<void>;

async function serve(stranger?: string): Promise<void> {
  const handler = {
    handle: () => {
      handled++;
      return Promise.resolve({ status: 200, body: "{}" });
    },
  } as unknown as CniHandler;
  close = await serveCni({
    path,
    handler,
    judgePeer: () => stranger,
    refusals,
    log: createLog("cni", { level: "debug", write: (line) => lines.push(line) }).root,
  });
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ambit-cni-"));
  mkdirSync(join(folder, "run"), { mode: 0o755 });
  path = join(folder, "run", "cni.sock");
  lines = [];
  refusals = new RefusalCounts();
  handled = 0;
});
afterEach(async () => {
  await close();
  rmSync(folder, { recursive: true, force: true });
});

function post(at: string, body: string): Promise<number> {
  return new Promise((resolve) => {
    const sent = request({ socketPath: path, path: at, method: "POST" }, (response) => {
      response.resume();
      response.on("end", () => resolve(response.statusCode ?? 0));
    });
    sent.on("error", () => resolve(-1));
    sent.end(body);
  });
}

test("a process that may not ask is cut off before its request is read", async () => {
  await serve("it runs inside a pod");
  assert.equal(await post("/cni", "{}"), -1);
  assert.equal(handled, 0);
  assert.equal(refusals.of("cni-caller"), 1);
  assert.match(lines.join(), /cni caller refused.*|it runs inside a pod/);
});

test("the socket is root's alone, in a directory of root alone, whatever it was before", async () => {
  await serve();
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(statSync(join(folder, "run")).mode & 0o777, 0o700);
});

test("a body over the limit, another path and bytes that are no HTTP are refused; the next request is answered", async () => {
  await serve();
  assert.ok([500, -1].includes(await post("/cni", "x".repeat(2_000_000))));
  assert.equal(await post("/other", "{}"), 500);
  await new Promise<void>((resolve) => {
    const socket = connect(path, () => socket.end("\0\0\0garbage\r\n\r\n"));
    socket.on("error", () => undefined);
    socket.on("close", () => resolve());
    socket.resume();
  });
  assert.equal(handled, 0);
  assert.equal(await post("/cni", "{}"), 200);
  assert.equal(refusals.of("cni-request"), 1);
});
