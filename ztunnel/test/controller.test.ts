/** The real process under a controller and a CA that speak the real protocols: start order, rejection, prefetch. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, openSync, closeSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { AMBIT_VERSION } from "#core/base/ambit-version.ts";
import { createFileCa } from "#core/identity/file-ca.ts";
import { listenSeqpacket, type SeqpacketConnection } from "#core/linux/unix-seqpacket.ts";
import { podUid } from "#core/model/ids.ts";
import { TYPE_URL_ADDRESS, TYPE_URL_AUTHORIZATION } from "#core/model/well-known.ts";
import { aWorkload } from "#core/testing/builders.ts";
import { startFakeCa } from "#core/testing/fake-ca.ts";
import { startFakeXdsServer } from "#core/testing/fake-xds-server.ts";
import { encodeAddress } from "#core/wire/address-codec.ts";
import { decodeZdsAck, encodeZdsRequest } from "#core/wire/zds-codec.ts";
import { eventually } from "./apps.ts";

const directory = mkdtempSync(join(tmpdir(), "ambit-zt-"));
after(() => rmSync(directory, { recursive: true, force: true }));
const web = aWorkload({ name: "web-1", namespace: "shop", serviceAccount: "web", node: "n1" });

interface Process {
  readonly child: ChildProcess;
  readonly output: () => string;
  readonly ready: () => Promise<number>;
}

async function start(xds: string, ca: string): Promise<Process> {
  const child = spawn(process.execPath, ["ztunnel/main.ts"], {
    stdio: ["ignore", "ignore", "pipe"],
    env: {
      NODE_NAME: "n1",
      RUST_LOG: "trace",
      POD_NAME: "ztunnel-abc",
      XDS_ADDRESS: `https://${xds}`,
      CA_ADDRESS: ca,
      XDS_ROOT_CA: join(directory, "root.pem"),
      CA_ROOT_CA: join(directory, "root.pem"),
      AUTH_TOKEN: join(directory, "token"),
      INPOD_UDS: join(directory, "agent.sock"),
      ADMIN_PORT: "0",
      STATS_PORT: "0",
      READINESS_PORT: "0",
    },
  });
  after(() => child.kill("SIGKILL"));
  let output = "";
  child.stderr?.setEncoding("utf8").on("data", (chunk: string) => (output += chunk));
  const port = await eventually("a start", () => /"ready":(\d+)/.exec(output)?.[1]);
  const ready = async (): Promise<number> => (await fetch(`http://127.0.0.1:${port}/healthz/ready`)).status;
  return { child, output: () => output, ready };
}

test(
  "waits for the controller before it serves pods; rejects by name; fetches certificates ahead",
  { timeout: 60_000 },
  async () => {
    const root = createFileCa({ trustDomain: "cluster.local" });
    const [xds, ca] = [await startFakeXdsServer(root), await startFakeCa(root)];
    let agent: SeqpacketConnection | undefined;
    const listener = listenSeqpacket({ path: join(directory, "agent.sock") }, (c) => void (agent = c));
    after(() => {
      xds.stop();
      ca.stop();
      agent?.close();
      listener.close();
    });
    writeFileSync(join(directory, "root.pem"), root.rootPem);
    writeFileSync(join(directory, "token"), "the-token\n", { mode: 0o400 });
    const { child, output, ready } = await start(xds.address, ca.address);

    const requests = [await xds.nextRequest(), await xds.nextRequest()];
    assert.deepEqual(
      requests.map((r) => r.typeUrl),
      [TYPE_URL_ADDRESS, TYPE_URL_AUTHORIZATION],
    );
    assert.equal(
      requests[0]?.node?.id,
      "ztunnel~1.1.1.1~ztunnel-abc.istio-system~istio-system.svc.cluster.local",
    );
    assert.equal(requests[0]?.node?.metadata["NODE_NAME"], "n1");
    assert.equal(requests[0]?.node?.metadata["ISTIO_VERSION"], AMBIT_VERSION, "what `proxy-status` shows");
    assert.equal(xds.header("authorization"), "Bearer the-token");

    xds.push({
      typeUrl: TYPE_URL_ADDRESS,
      resources: [
        { name: "shop/broken", body: Uint8Array.of(0xff) },
        { name: web.uid, body: encodeAddress(web) },
      ],
    });
    assert.match((await xds.nextNack()).error?.message ?? "", /shop\/broken/);
    xds.push({ typeUrl: TYPE_URL_AUTHORIZATION });
    await xds.nextAck();
    assert.equal(agent, undefined, "no pod is served before every kind was accepted once");
    xds.push({ typeUrl: TYPE_URL_ADDRESS });
    await xds.nextAck();

    const connection = await eventually("the agent's connection", () => agent);
    await connection.receive();
    const netns = openSync("/proc/self/ns/net", "r");
    const workload = { name: "web-1", namespace: "shop", serviceAccount: "web" };
    await connection.send(encodeZdsRequest({ kind: "add", uid: podUid("u1"), workload }), [netns]);
    closeSync(netns);
    // A namespace that is ztunnel's own is refused; without root it cannot even be entered.
    const ack = decodeZdsAck((await connection.receive())?.bytes ?? new Uint8Array());
    assert.ok(ack.ok && ack.value.error !== "", JSON.stringify(ack));
    await connection.send(encodeZdsRequest({ kind: "snapshot-sent" }));
    await connection.receive();
    assert.equal(await ready(), 500, "a pod is not served yet");

    const call = await eventually("a request for the pod's certificate", () => ca.calls[0]);
    assert.equal(call.token, "the-token");
    assert.equal(call.request.metadata["ImpersonatedIdentity"], "spiffe://cluster.local/ns/shop/sa/web");
    child.kill("SIGTERM");
    assert.deepEqual((await once(child, "exit"))[0], 0);
    assert.doesNotMatch(output(), /PRIVATE KEY|the-token/, "not even at level trace");
  },
);
