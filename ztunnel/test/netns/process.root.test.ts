/**
 * The real processes: two ztunnels, each told of one pod by an agent of this test with the pod's namespace as descriptor,
 * state and CA from files. Ends with a drain under an open connection.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { listenSeqpacket, type SeqpacketConnection } from "#core/linux/unix-seqpacket.ts";
import { podUid } from "#core/model/ids.ts";
import { decodeZdsAck, encodeZdsRequest, type ZdsRequest } from "#core/wire/zds-codec.ts";
import { eventually } from "../apps.ts";
import { A, APP_PORT, B, dial, echo, makeNetwork, removeNetwork, skip, VIP } from "./pod-network.ts";

const directory = mkdtempSync(join(tmpdir(), "ambit-zt-"));
after(() => rmSync(directory, { recursive: true, force: true }));

const state = (policies: string): string => `
workloads:
  - { name: frontend, namespace: shop, serviceAccount: frontend, node: n1, workloadIps: [${A}], protocol: HBONE }
  - { name: catalog, namespace: shop, serviceAccount: catalog, node: n2, workloadIps: [${B}], protocol: HBONE,
      services: { shop/catalog.shop.svc.cluster.local: {} } }
services:
  - { name: catalog, namespace: shop, hostname: catalog.shop.svc.cluster.local, vips: [/${VIP}], ports: { "15001": ${APP_PORT} } }
policies: ${policies}
`;
const ONLY_ADMIN = `[{ name: only-admin, namespace: shop, scope: Namespace, action: Allow,
  rules: [[[{ principals: [{ Exact: cluster.local/ns/shop/sa/admin }] }]]] }]`;

interface Ztunnel {
  readonly child: ChildProcess;
  readonly access: () => readonly Readonly<Record<string, unknown>>[];
}

async function startWithPod(node: string, pod: string, netnsFd: number): Promise<Ztunnel> {
  let agent: SeqpacketConnection | undefined;
  const path = join(directory, `${node}.sock`);
  const listener = listenSeqpacket({ path }, (connection) => void (agent = connection));
  const child = spawn(process.execPath, ["--disable-sigusr1", "ztunnel/main.ts"], {
    stdio: ["ignore", "ignore", "pipe"],
    env: {
      NODE_NAME: node,
      AMBIT_LOCAL_STATE: join(directory, "state.yaml"),
      AMBIT_FILE_CA: join(directory, "ca"),
      INPOD_UDS: path,
      ADMIN_PORT: "0",
      STATS_PORT: "0",
      READINESS_PORT: "0",
      TERMINATION_GRACE_PERIOD_SECONDS: "20",
    },
  });
  after(() => {
    child.kill("SIGKILL");
    agent?.close();
    listener.close();
  });
  let output = "";
  child.stderr?.setEncoding("utf8").on("data", (chunk: string) => (output += chunk));
  const connection = await eventually(`${node} to connect`, () => agent);
  await connection.receive();
  const workload = { name: pod, namespace: "shop", serviceAccount: pod };
  await tell(connection, { kind: "add", uid: podUid(`uid-${pod}`), workload }, [netnsFd]);
  await tell(connection, { kind: "snapshot-sent" }, []);
  const lines = (): readonly Readonly<Record<string, unknown>>[] =>
    output
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>);
  return { child, access: () => lines().filter((line) => line["scope"] === "access") };
}

async function tell(agent: SeqpacketConnection, request: ZdsRequest, fds: readonly number[]): Promise<void> {
  await agent.send(encodeZdsRequest(request), fds);
  const answer = await agent.receive(AbortSignal.timeout(10_000));
  const ack = decodeZdsAck(answer?.bytes ?? new Uint8Array());
  assert.deepEqual(ack, { ok: true, value: { error: "" } });
}

test(
  "two processes, two pods: policy from files, and a drain that loses nothing",
  { skip, timeout: 60_000 },
  async () => {
    const [netnsA, netnsB] = makeNetwork();
    const app = echo(netnsB);
    const statePath = join(directory, "state.yaml");
    writeFileSync(statePath, state("[]"));
    try {
      const here = await startWithPod("n1", "frontend", netnsA.fd);
      const there = await startWithPod("n2", "catalog", netnsB.fd);
      const live = await dial(netnsA, VIP, 15_001);
      live.handle.write(Buffer.from("one"));
      await eventually("an echo", () => live.received === "one");
      assert.deepEqual(app.clients, [A]);

      writeFileSync(statePath, state(ONLY_ADMIN));
      await eventually("the policy to end the connection", () => live.closed);
      const denied = await eventually("a line", () => there.access()[0]);
      assert.equal(denied["reason"], "policy-changed");
      assert.match(String(denied["nearest"]), /only-admin/);

      writeFileSync(statePath, state("[]\n"));
      const last = await eventually("a connection that is allowed again", async () => {
        const attempt = await dial(netnsA, VIP, 15_001);
        attempt.handle.write(Buffer.from("two"));
        await eventually("an answer or an end", () => attempt.received === "two" || attempt.closed);
        return attempt.received === "two" && attempt;
      });
      const exits = [here, there].map(({ child }) => once(child, "exit"));
      here.child.kill("SIGTERM");
      there.child.kill("SIGTERM");
      last.handle.write(Buffer.from("three"));
      await eventually("an echo during the drain", () => last.received === "twothree");
      last.handle.shutdown();
      await eventually("a clean end", () => last.closed === true);
      assert.deepEqual(
        (await Promise.all(exits)).map(([code]) => code as number),
        [0, 0],
      );
    } finally {
      app.close();
      removeNetwork();
    }
  },
);
