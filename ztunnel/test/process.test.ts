/** The real process, driven by files and by an agent of this test: endpoints, readiness, orderly end. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { listenSeqpacket, type SeqpacketConnection } from "#core/linux/unix-seqpacket.ts";
import { encodeZdsRequest } from "#core/wire/zds-codec.ts";
import { eventually } from "./apps.ts";

const directory = mkdtempSync(join(tmpdir(), "ambit-zt-"));
after(() => rmSync(directory, { recursive: true, force: true }));

const STATE = `
workloads:
  - { uid: "Kubernetes//Pod/shop/web-1", name: web-1, namespace: shop, serviceAccount: web, node: n1,
      workloadIps: [10.0.0.5], protocol: HBONE, services: { shop/web.shop.svc.cluster.local: { "80": 8080 } } }
services:
  - { name: web, namespace: shop, hostname: web.shop.svc.cluster.local, vips: [/10.96.0.7], ports: { "80": 8080 } }
policies:
  - { name: deny-all, namespace: shop, scope: Namespace, action: Allow, rules: [] }
`;

interface Running {
  readonly child: ChildProcess;
  readonly lines: readonly Readonly<Record<string, unknown>>[];
  readonly url: (port: "admin" | "stats" | "ready", path: string) => string;
}

async function start(name: string, environment: Readonly<Record<string, string>>): Promise<Running> {
  const statePath = join(directory, `${name}.yaml`);
  writeFileSync(statePath, STATE);
  const child = spawn(process.execPath, ["ztunnel/main.ts"], {
    stdio: ["ignore", "ignore", "pipe"],
    env: {
      NODE_NAME: "n1",
      AMBIT_LOCAL_STATE: statePath,
      AMBIT_FILE_CA: join(directory, "ca"),
      INPOD_UDS: join(directory, `${name}.sock`),
      ADMIN_PORT: "0",
      STATS_PORT: "0",
      READINESS_PORT: "0",
      ...environment,
    },
  });
  const lines: Readonly<Record<string, unknown>>[] = [];
  let rest = "";
  child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
    const parts = (rest + chunk).split("\n");
    rest = parts.pop() ?? "";
    lines.push(...parts.map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>));
  });
  after(() => child.kill("SIGKILL"));
  const started = await eventually("a start", () => {
    assert.equal(child.exitCode, null, JSON.stringify(lines));
    return lines.find((line) => line["msg"] === "ztunnel started");
  });
  return { child, lines, url: (port, path) => `http://127.0.0.1:${started[port]}${path}` };
}

const limits = { timeout: 30_000 };

test("a configuration without a node name is refused with a sentence", limits, async () => {
  const child = spawn(process.execPath, ["ztunnel/main.ts"], {
    stdio: ["ignore", "ignore", "pipe"],
    env: {},
  });
  let text = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
  const [code] = (await once(child, "close")) as [number];
  assert.equal(code, 1);
  assert.match(text, /NODE_NAME is required|NODE_NAME: is required/);
});

test(
  "ready after the agent's snapshot; dump, metrics and levels; SIGTERM ends it with 0",
  limits,
  async () => {
    let agent: SeqpacketConnection | undefined;
    const listener = listenSeqpacket({ path: join(directory, "one.sock") }, (c) => void (agent = c));
    const { child, url } = await start("one", {});
    assert.equal((await fetch(url("ready", "/healthz/ready"))).status, 500);
    const connection = await eventually("the agent's connection", () => agent);
    await connection.receive();
    await connection.send(encodeZdsRequest({ kind: "snapshot-sent" }));
    await connection.receive();
    assert.equal((await fetch(url("ready", "/healthz/ready"))).status, 200);

    const text = await (await fetch(url("admin", "/config_dump"))).text();
    const dump = JSON.parse(text) as Record<string, readonly Record<string, unknown>[]>;
    assert.equal(dump["workloads"]?.[0]?.["uid"], "Kubernetes//Pod/shop/web-1");
    assert.deepEqual(dump["services"]?.[0]?.["vips"], ["/10.96.0.7"]);
    assert.equal(dump["policies"]?.[0]?.["scope"], "Namespace");
    assert.doesNotMatch(text, /PRIVATE KEY/);
    assert.match(
      await (await fetch(url("stats", "/stats/prometheus"))).text(),
      /istio_build\{component="ztunnel",tag="\d+\.\d+\.\d+"/,
    );
    const level = await fetch(url("admin", "/logging?level=access:debug"), { method: "POST" });
    assert.match(await level.text(), /access=debug/);
    const post = (path: string): Promise<Response> => fetch(url("admin", path), { method: "POST" });
    assert.equal((await fetch(url("admin", "/logging?level=debug"))).status, 405, "reading changes nothing");
    const unknown = await post("/logging?level=access:loud");
    assert.deepEqual([unknown.status, await unknown.text()], [400, 'unknown level "access:loud"\n']);
    assert.match(await (await post("/logging")).text(), /access=debug/, "a refused change changed nothing");
    assert.match(await (await post("/logging?reset")).text(), /access=info/);
    assert.equal((await fetch(url("admin", "/quitquitquit"))).status, 405);
    const crossSite = await fetch(url("admin", "/quitquitquit"), {
      method: "POST",
      headers: { origin: "http://x" },
    });
    assert.equal(crossSite.status, 403);

    child.kill("SIGTERM");
    const [code] = (await once(child, "exit")) as [number];
    assert.equal(code, 0);
    connection.close();
    listener.close();
  },
);

test(
  "a changed state file is read again, an unusable one changes nothing; POST quitquitquit ends",
  limits,
  async () => {
    const { child, lines, url } = await start("two", {});
    const policies = async (): Promise<number> => {
      const dump = (await (await fetch(url("admin", "/config_dump"))).json()) as { policies: unknown[] };
      return dump.policies.length;
    };
    assert.equal(await policies(), 1);
    writeFileSync(join(directory, "two.yaml"), "workloads: 7\n");
    await eventually("a complaint", () =>
      lines.find((l) => l["level"] === "error" && l["scope"] === "state"),
    );
    assert.equal(await policies(), 1);
    writeFileSync(join(directory, "two.yaml"), "workloads: []\n# without policies\n");
    await eventually("the new state", () => lines.find((l) => l["msg"] === "state file read again"));
    assert.equal(await policies(), 0);
    const exit = once(child, "exit");
    assert.equal((await fetch(url("admin", "/quitquitquit"), { method: "POST" })).status, 200);
    assert.deepEqual((await exit)[0], 0);
  },
);
