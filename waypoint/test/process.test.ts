/** The real process: what it says to a bad environment, and how it lives and ends under a controller and a CA. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { buildLeaf } from "#core/identity/build-certificate.ts";
import { parseCsr } from "#core/identity/csr.ts";
import { createFileCa } from "#core/identity/file-ca.ts";
import { TYPE_URL_WAYPOINT } from "#core/model/waypoint.ts";
import { TYPE_URL_ADDRESS } from "#core/model/well-known.ts";
import { startFakeCa } from "#core/testing/fake-ca.ts";
import { startFakeXdsServer } from "#core/testing/fake-xds-server.ts";
import { encodeWaypointConfig } from "#core/wire/waypoint-codec.ts";
import { identity } from "./test-waypoint.ts";

const NAME = "shop/ambit-waypoint";
const directory = mkdtempSync(join(tmpdir(), "ambit-wpp-"));
after(() => rmSync(directory, { recursive: true, force: true }));

interface Process {
  readonly child: ChildProcess;
  readonly output: () => string;
}

function start(env: Readonly<Record<string, string>>): Process {
  const child = spawn(process.execPath, ["waypoint/main.ts"], { stdio: ["ignore", "ignore", "pipe"], env });
  after(() => child.kill("SIGKILL"));
  let output = "";
  child.stderr?.setEncoding("utf8").on("data", (chunk: string) => (output += chunk));
  return { child, output: () => output };
}

async function eventually<T>(what: string, read: () => T | undefined | Promise<T | undefined>): Promise<T> {
  for (let tries = 0; tries < 1_000; tries++) {
    const value = await read();
    if (value !== undefined) return value;
    await pause(10);
  }
  throw new Error(`never happened: ${what}`);
}

test("a bad environment ends it with every problem in one message", { timeout: 30_000 }, async () => {
  const { child, output } = start({ GATEWAY_NAME: "w", NODE_NAME: "n", STATS_PORT: "many" });
  assert.deepEqual((await once(child, "exit"))[0], 1);
  for (const name of ["POD_NAME", "POD_NAMESPACE", "SERVICE_ACCOUNT", "STATS_PORT"]) {
    assert.match(output(), new RegExp(name));
  }
});

test(
  "is ready with certificate and configuration, and ends well when it is told to",
  { timeout: 60_000 },
  async () => {
    const root = createFileCa({ trustDomain: "cluster.local" });
    const [xds, ca] = [await startFakeXdsServer(root), await startFakeCa(root)];
    after(() => {
      xds.stop();
      ca.stop();
    });
    ca.answerWith(({ request }) => {
      const csr = parseCsr(request.csrPem);
      assert.ok(csr.ok);
      const [notBeforeMs, notAfterMs] = [Date.now() - 1_000, Date.now() + 3_600_000];
      const { publicKeyDer } = csr.value;
      const leaf = buildLeaf(root.signer, {
        identity: identity("ambit-waypoint"),
        publicKeyDer,
        notBeforeMs,
        notAfterMs,
      });
      return { chain: [leaf, root.rootPem] };
    });
    writeFileSync(join(directory, "root.pem"), root.rootPem);
    writeFileSync(join(directory, "token"), "the-token\n", { mode: 0o400 });
    const { child, output } = start({
      GATEWAY_NAME: "ambit-waypoint",
      POD_NAME: "wp-1",
      POD_NAMESPACE: "shop",
      SERVICE_ACCOUNT: "ambit-waypoint",
      NODE_NAME: "n1",
      XDS_ADDRESS: xds.address,
      CA_ADDRESS: ca.address,
      XDS_ROOT_CA: join(directory, "root.pem"),
      CA_ROOT_CA: join(directory, "root.pem"),
      AUTH_TOKEN: join(directory, "token"),
      RUST_LOG: "trace",
      AMBIT_HBONE_PORT: "0",
      ADMIN_PORT: "0",
      STATS_PORT: "0",
      READINESS_PORT: "0",
    });
    const ports = await eventually(
      "a start",
      () => /"admin":(\d+),"stats":(\d+),"ready":(\d+)/.exec(output()) ?? undefined,
    );
    const get = async (port: string | undefined, path: string): Promise<string> =>
      (await fetch(`http://127.0.0.1:${port}${path}`)).text();
    assert.match(await get(ports[3], "/healthz/ready"), /not ready/);
    await xds.nextRequest();
    xds.push({ typeUrl: TYPE_URL_ADDRESS });
    await xds.nextAck();
    const body = encodeWaypointConfig({
      name: NAME,
      automatic: true,
      pathNormalization: "base",
      clientCertField: false,
      services: [],
      workloads: [],
      policies: [],
    });
    xds.push({ typeUrl: TYPE_URL_WAYPOINT, resources: [{ name: NAME, body }] });
    await xds.nextAck();
    await eventually("ready", async () =>
      (await get(ports[3], "/healthz/ready")) === "ready" ? true : undefined,
    );
    assert.match(await get(ports[2], "/metrics"), /istio_build\{component="waypoint"/);
    assert.match(await get(ports[1], "/config_dump"), /"name": "shop\/ambit-waypoint"/);
    child.kill("SIGTERM");
    assert.deepEqual((await once(child, "exit"))[0], 0);
    assert.match(output(), /"outcome":"drained"/);
    assert.doesNotMatch(output(), /PRIVATE KEY|the-token/, "not even at level trace");
  },
);
