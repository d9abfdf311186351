/** Two nodes from nothing: pods as processes, services, DNS, probes, faults; and nothing is left when the owner is killed. */
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { PassThrough, Writable } from "node:stream";
import { after, before, test } from "node:test";
import { Exec, KubeConfig, PortForward } from "@kubernetes/client-node";
import { createObject } from "#core/k8s/apply.ts";
import { jsonList, jsonObject, jsonText } from "#core/k8s/json-read.ts";
import { EVENT, type Kind, kindPath, POD, SECRET, SERVICE } from "#core/k8s/kinds.ts";
import { KubeClient, kubeStatus } from "#core/k8s/kube-client.ts";
import { silentLogger } from "#core/runtime/log.ts";
import { clusterDown, clusterStatus, clusterUp } from "./cluster.ts";
import type { Cluster } from "./cluster-types.ts";
import type { PodStatus } from "./kubelet/pod-types.ts";

const isRoot = process.getuid?.() === 0;
if (!isRoot && process.env["AMBIT_REQUIRE_ROOT"] === "1") throw new Error("these tests need root");
const options = { skip: isRoot ? false : "needs root: a local cluster", timeout: 60_000 };
const id = `t${process.pid}`;
const prefix = `ambit-${id}`;

let owner: ChildProcess;
let cluster: Cluster;
let config: KubeConfig;
let client: KubeClient;
const machineBefore = isRoot ? machineNetwork() : "";

/** What a user's machine looks like from outside: links, addresses, routes, rules. */
function machineNetwork(): string {
  const ip = (...args: readonly string[]): string => execFileSync("ip", args, { encoding: "utf8" });
  const tables = execFileSync("nft", ["list", "tables"], { encoding: "utf8" });
  return [ip("-o", "link").replace(/state \w+|qlen \d+/g, ""), ip("-4", "route"), ip("rule"), tables].join(
    "\n",
  );
}

before(async () => {
  if (!isRoot) return;
  const script = join(import.meta.dirname, "test-owner.ts");
  owner = spawn(process.execPath, [script, id, "2"], { stdio: ["ignore", "pipe", "inherit"] });
  assert.ok(owner.stdout !== null);
  for await (const line of createInterface({ input: owner.stdout })) {
    cluster = JSON.parse(line) as Cluster;
    break;
  }
  config = new KubeConfig();
  config.loadFromFile(cluster.kubeconfigPath);
  client = new KubeClient(config);
});

after(async () => {
  if (!isRoot) return;
  client?.close();
  owner?.kill("SIGKILL");
  await clusterDown(id);
});

async function eventually<T>(what: string, look: () => Promise<T | undefined> | T | undefined): Promise<T> {
  const until = Date.now() + 30_000;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (Date.now() > until) throw new Error(`still not: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

interface PodShape {
  readonly node?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly container?: Readonly<Record<string, unknown>>;
  readonly spec?: Readonly<Record<string, unknown>>;
}

async function makePod(name: string, shape: PodShape = {}): Promise<void> {
  const container = {
    name: "main",
    image: "ambit/sample-echo",
    readinessProbe: { httpGet: { path: "/ready", port: 8080 }, periodSeconds: 1, failureThreshold: 1 },
    ...shape.container,
  };
  await eventually(`service account for ${name}`, async () => {
    try {
      const metadata = { name, namespace: "default", labels: shape.labels ?? {} };
      await createObject(client, POD, "default", {
        metadata,
        spec: {
          nodeName: shape.node,
          terminationGracePeriodSeconds: 5,
          ...shape.spec,
          containers: [container],
        },
      });
      return true;
    } catch (error) {
      if (kubeStatus(error) !== 403) throw error;
      return undefined;
    }
  });
}

async function statusOf(name: string): Promise<PodStatus> {
  const pod = jsonObject(
    await client.json({ method: "GET", path: kindPath(POD, { namespace: "default", name }) }),
  );
  return jsonObject(pod["status"]) as PodStatus;
}

function untilReady(name: string): Promise<PodStatus> {
  return eventually(`pod ${name} Ready`, async () => {
    const status = await statusOf(name);
    return isReady(status) ? status : undefined;
  });
}

function isReady(status: PodStatus): boolean {
  return status.conditions?.some((c) => c.type === "Ready" && c.status === "True") ?? false;
}

interface ExecResult {
  readonly out: string;
  readonly code: number;
}

async function run(pod: string, script: string): Promise<ExecResult> {
  let out = "";
  const sink = (): Writable =>
    new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        out += chunk.toString();
        done();
      },
    });
  const code = await new Promise<number>((resolve, reject) => {
    new Exec(config)
      .exec("default", pod, "main", ["sh", "-c", script], sink(), sink(), null, false, (status) => {
        resolve(status.status === "Success" ? 0 : Number(status.details?.causes?.[0]?.message ?? -1));
      })
      .catch(reject);
  });
  return { out, code };
}

async function eventsOf(pod: string, reason: string): Promise<readonly string[]> {
  const list = jsonObject(
    await client.json({ method: "GET", path: kindPath(EVENT, { namespace: "default" }) }),
  );
  const events = jsonList(list["items"]).map(jsonObject);
  return events
    .filter((event) => event["reason"] === reason && jsonObject(event["involvedObject"])["name"] === pod)
    .map((event) => jsonText(event["message"]));
}

async function remove(kind: Kind, name: string): Promise<void> {
  await client.json({ method: "DELETE", path: kindPath(kind, { namespace: "default", name }) });
}

test(
  "pods on two nodes are Ready and reach each other over IPv4 and IPv6 with their own addresses",
  options,
  async () => {
    await Promise.all([
      makePod("client", {
        node: "n1",
        container: { image: "ambit/sample-client", readinessProbe: undefined },
      }),
      makePod("near", { node: "n1", labels: { app: "web" } }),
      makePod("far", { node: "n2", labels: { app: "web" } }),
    ]);
    const [own, near, far] = await Promise.all([untilReady("client"), untilReady("near"), untilReady("far")]);
    const tried: string[] = [];
    for (const target of [near, far]) {
      for (const [i, { ip }] of (target.podIPs ?? []).entries()) {
        const { out } = await run(
          "client",
          `curl -s -m 3 'http://${ip.includes(":") ? `[${ip}]` : ip}:8080/'`,
        );
        const seen = jsonText(jsonObject(JSON.parse(out))["client"]).replace("::ffff:", "");
        assert.equal(seen, own.podIPs?.[i]?.ip);
        tried.push(ip);
      }
    }
    assert.equal(tried.length, 4);
  },
);

test(
  "a service is reached by name and address; one without endpoints is refused at once",
  options,
  async () => {
    const ports = [{ name: "http", port: 80, targetPort: 8080 }];
    await createObject(client, SERVICE, "default", {
      metadata: { name: "web" },
      spec: { selector: { app: "web" }, ports },
    });
    await createObject(client, SERVICE, "default", {
      metadata: { name: "empty" },
      spec: { selector: { app: "none" }, ports },
    });
    await createObject(client, SERVICE, "default", {
      metadata: { name: "headless" },
      spec: { clusterIP: "None", selector: { app: "web" }, ports },
    });
    await eventually("the service answers", async () =>
      (await run("client", "curl -s -m 2 http://web/")).code === 0 ? true : undefined,
    );
    const { out } = await run(
      "client",
      "for i in $(seq 30); do curl -4 -s -m 2 http://web/; curl -6 -s -m 2 http://web.default.svc.cluster.local/; done",
    );
    const served = out
      .trim()
      .split("\n")
      .map((line) => jsonText(jsonObject(JSON.parse(line))["hostname"]));
    assert.equal(served.length, 60);
    assert.deepEqual(new Set(served), new Set(["near", "far"]));
    await eventually("the empty service refuses", async () =>
      (await run("client", "curl -s -m 5 http://empty/")).code === 7 ? true : undefined,
    );
  },
);

test("cluster DNS: headless addresses, the search path, and names that are not there", options, async () => {
  const lines = (
    await run(
      "client",
      "getent ahostsv4 headless | cut -d' ' -f1 | sort -u | wc -l; getent hosts nope; echo rc=$?; getent hosts kubernetes.default >/dev/null; echo rc=$?",
    )
  ).out.trim();
  assert.equal(lines, "2\nrc=2\nrc=0");
});

test("a pod's service is translated on its own way back to itself", options, async () => {
  const { out } = await run(
    "near",
    "for i in $(seq 12); do curl -s -m 2 -o /dev/null -w '%{http_code} ' http://web/; done",
  );
  assert.equal(out.trim(), Array(12).fill("200").join(" "));
});

test("the API is reached from pods with the pod's own token, and only with it", options, async () => {
  const directory = "/var/run/secrets/kubernetes.io/serviceaccount";
  const ask = `curl -s -m 3 -o /dev/null -w '%{http_code}' --cacert ${directory}/ca.crt`;
  const url = "https://kubernetes.default.svc/api/v1/namespaces/default/pods";
  const { out } = await run(
    "client",
    `${ask} -H "Authorization: Bearer $(cat ${directory}/token)" ${url}; echo; ${ask} ${url}`,
  );
  const [withToken, without] = out.split("\n");
  assert.equal(withToken, "403", "known, and allowed nothing");
  assert.match(without ?? "", /^40[13]$/);
});

test("readiness follows the probe, and endpoints follow readiness", options, async () => {
  await run("client", `curl -s -m 2 -X POST http://${(await statusOf("near")).podIP}:8080/fail`);
  await eventually("near is not Ready", async () => (isReady(await statusOf("near")) ? undefined : true));
  assert.ok((await eventsOf("near", "Unhealthy")).some((message) => message.includes("statuscode: 503")));
  await eventually("all answers come from far", async () => {
    const { out } = await run("client", "for i in $(seq 10); do curl -s -m 2 http://web/; done");
    return out.includes('"near"') ? undefined : true;
  });
});

test(
  "exec gives the exit status, logs give what was written, env has the downward API",
  options,
  async () => {
    assert.equal((await run("client", "exit 7")).code, 7);
    const script = 'echo "$WHO on $WHERE as $(id -u)"; exec sleep 1000';
    await makePod("talker", {
      node: "n2",
      container: {
        image: "ambit/host",
        command: ["sh", "-c", script],
        readinessProbe: undefined,
        securityContext: { runAsUser: 1234 },
        env: [
          { name: "WHO", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
          { name: "WHERE", valueFrom: { fieldRef: { fieldPath: "spec.nodeName" } } },
        ],
      },
    });
    await untilReady("talker");
    const stream = await client.stream({
      method: "GET",
      path: kindPath(POD, { namespace: "default", name: "talker", subresource: "log" }),
    });
    let text = "";
    for await (const chunk of stream.response as AsyncIterable<Buffer>) text += chunk.toString();
    assert.equal(text, "talker on n2 as 1234\n");
  },
);

test("exec with a terminal has one, of the client's size", options, async () => {
  const input = new PassThrough();
  const out = Object.assign(new PassThrough(), { columns: 91, rows: 33, isTTY: true });
  let text = "";
  out.on("data", (chunk: Buffer) => (text += chunk.toString()));
  const over = Promise.withResolvers<void>();
  await new Exec(config).exec(
    "default",
    "client",
    "main",
    [
      "sh",
      "-c",
      'read x; until [ "$(stty size)" != "0 0" ]; do sleep 0.05; done; stty size; tty -s && echo tty-$x',
    ],
    out,
    null,
    input,
    true,
    () => over.resolve(),
  );
  await eventually("the size arrives", () => {
    input.write("go\n");
    return true;
  });
  await over.promise;
  assert.match(text, /33 91\r\ntty-go\r\n$/);
});

test(
  "port-forward reaches a port of the pod's own loopback, and says so when nothing listens",
  options,
  async () => {
    const answer = async (port: number): Promise<{ readonly data: string; readonly error: string }> => {
      const output = new PassThrough();
      const errors = new PassThrough();
      const input = new PassThrough();
      const ended = Promise.withResolvers<void>();
      const said = { data: "", error: "" };
      output.on("data", (chunk: Buffer) => (said.data += chunk.toString()));
      errors.on("data", (chunk: Buffer) => (said.error += chunk.toString()));
      const socket = await new PortForward(config, true).portForward(
        "default",
        "far",
        [port],
        output,
        errors,
        input,
      );
      if (typeof socket !== "function") socket.on("close", () => ended.resolve());
      input.write("GET /through HTTP/1.0\r\n\r\n");
      await ended.promise;
      return said;
    };
    assert.match((await answer(8080)).data, /"path":"\/through"/);
    assert.match((await answer(9)).error, /connect 127\.0\.0\.1: errno 111/);
  },
);

test(
  "volumes: secrets, ConfigMaps, tokens for an audience that only the container's user can read",
  options,
  async () => {
    await createObject(client, SECRET, "default", {
      metadata: { name: "keys" },
      stringData: { one: "1" },
      data: {},
    });
    const token = {
      serviceAccountToken: { audience: "istio-ca", expirationSeconds: 3600, path: "istio-token" },
    };
    await makePod("mounts", {
      container: {
        image: "ambit/sample-client",
        readinessProbe: undefined,
        volumeMounts: [
          { name: "token", mountPath: "/var/run/secrets/tokens", readOnly: true },
          { name: "keys", mountPath: "/keys", readOnly: true },
          { name: "scratch", mountPath: "/scratch" },
        ],
      },
      spec: {
        volumes: [
          { name: "token", projected: { defaultMode: 0o400, sources: [token] } },
          { name: "keys", secret: { secretName: "keys" } },
          { name: "scratch", emptyDir: {} },
        ],
      },
    });
    await untilReady("mounts");
    const script =
      "cut -d. -f2 /run/secrets/tokens/istio-token | tr '_-' '/+' | base64 -d 2>/dev/null; echo; stat -Lc %a /run/secrets/tokens/istio-token; touch /keys/x; cat /keys/one 2>/dev/null; echo; touch /scratch/x && echo written";
    const { out } = await run("mounts", script);
    assert.match(out, /"aud":\["istio-ca"\]/);
    assert.match(out, /\n400\n[\s\S]*Read-only[\s\S]*1\nwritten\n$/);
  },
);

test(
  "an image that is not known here says what to do; a crashing container backs off and is restarted",
  options,
  async () => {
    await makePod("stranger", { container: { image: "nginx:1.29" } });
    const waiting = await eventually("ErrImagePull", async () => {
      const state = (await statusOf("stranger")).containerStatuses?.[0]?.state.waiting;
      return state?.reason === "ErrImagePull" ? state : undefined;
    });
    assert.match(waiting.message ?? "", /runs only ambit\/ztunnel.*needs a real Kubernetes cluster/);
    await makePod("crash", {
      container: { image: "ambit/host", command: ["sh", "-c", "exit 3"], readinessProbe: undefined },
    });
    await eventually("CrashLoopBackOff after two restarts", async () => {
      const status = (await statusOf("crash")).containerStatuses?.[0];
      const backingOff =
        status?.state.waiting?.reason === "CrashLoopBackOff" && status.lastState.terminated?.exitCode === 3;
      return backingOff && status.restartCount >= 1 ? true : undefined;
    });
    await remove(POD, "crash");
    await remove(POD, "stranger");
  },
);

test(
  "a failing CNI plugin keeps the pod from starting and its words are in the event; repaired, the pod starts",
  options,
  async () => {
    const directory = join(cluster.stateDir, "nodes", "n1");
    const conflist = join(directory, "cni-conf", "10-ambit-local.conflist");
    const good = readFileSync(conflist, "utf8");
    const list = JSON.parse(good) as { plugins: object[] };
    const script = `#!/bin/sh\ncat >/dev/null\n[ "$CNI_COMMAND" = DEL ] && exit 0\necho '{"code":100,"msg":"enrolment failed","details":"start the agent"}'\nexit 1\n`;
    writeFileSync(join(directory, "cni-bin", "refuser"), script, { mode: 0o755 });
    list.plugins.push({ type: "refuser" });
    writeFileSync(conflist, JSON.stringify(list));
    await makePod("held", { node: "n1" });
    await eventually("two failed sandboxes", async () =>
      (await eventsOf("held", "FailedCreatePodSandBox")).length > 0 ? true : undefined,
    );
    const [message] = await eventsOf("held", "FailedCreatePodSandBox");
    assert.equal(
      message,
      'Failed to create pod sandbox: plugin type="refuser" failed (add): enrolment failed; start the agent',
    );
    assert.equal((await statusOf("held")).phase, "Pending");
    writeFileSync(conflist, good);
    await untilReady("held");
    await remove(POD, "held");
  },
);

test("deleting a pod ends its processes and frees its group", options, async () => {
  await makePod("brief", { node: "n2" });
  await untilReady("brief");
  const groups = (): readonly string[] =>
    readdirSync(join(cluster.nodes[1]?.cgroup ?? "", "kubepods", "besteffort")).filter((name) =>
      name.startsWith("pod"),
    );
  const before = groups().length;
  await remove(POD, "brief");
  await eventually("brief is gone", async () => {
    try {
      await statusOf("brief");
      return undefined;
    } catch (error) {
      return kubeStatus(error) === 404 ? true : undefined;
    }
  });
  assert.equal(groups().length, before - 1);
});

test("a kubelet that is killed comes back, and so do its pods", options, async () => {
  const procs = readFileSync(join(cluster.nodes[1]?.cgroup ?? "", "kubelet", "cgroup.procs"), "utf8")
    .trim()
    .split("\n")
    .map(Number);
  const before = (await statusOf("far")).containerStatuses?.[0]?.containerID;
  for (const pid of procs) process.kill(pid, "SIGKILL");
  await eventually("far runs again", async () => {
    const status = await statusOf("far");
    return isReady(status) && status.containerStatuses?.[0]?.containerID !== before ? true : undefined;
  });
  await eventually("the service answers", async () =>
    (await run("client", "curl -s -m 2 http://web/")).code === 0 ? true : undefined,
  );
});

test("a second cluster of the same id is refused while the first one lives", options, async () => {
  assert.equal(clusterStatus(id).state, "running");
  await assert.rejects(clusterUp({ id, nodes: 1, log: silentLogger, build: false }), {
    code: "CLUSTER_RUNNING",
  });
});

test("the machine's own network was not touched", options, () => {
  assert.equal(machineNetwork(), machineBefore);
});

/** Everything on this machine that bears the cluster's name. */
function leftovers(): readonly string[] {
  const netns = existsSync("/run/netns")
    ? readdirSync("/run/netns").filter((name) => name.startsWith(prefix))
    : [];
  const tops = readdirSync("/sys/fs/cgroup").map((name) => join("/sys/fs/cgroup", name, prefix));
  const groups = [join("/sys/fs/cgroup", prefix), ...tops].filter((path) => existsSync(path));
  const mounts = readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .filter((line) => line.includes(prefix) || line.includes(`/run/ambit/${id}`));
  const state = [`/run/ambit/${id}`, `/run/ambit/${id}.log`].filter((path) => existsSync(path));
  const processes = readdirSync("/proc").filter((pid) => /^\d+$/.test(pid) && inCluster(pid));
  return [...netns, ...groups, ...mounts, ...state, ...processes];
}

function inCluster(pid: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cgroup`, "utf8").includes(`/${prefix}`);
  } catch {
    return false;
  }
}

test("kill -9 of the owner leaves no process, namespace, group, mount or file", options, async () => {
  assert.ok(leftovers().length > 10, "the search finds what is there");
  owner.kill("SIGKILL");
  await eventually("nothing is left", () => (leftovers().length === 0 ? true : undefined)).catch(
    () => undefined,
  );
  assert.deepEqual(leftovers(), []);
  assert.equal(clusterStatus(id).state, "absent");
});
