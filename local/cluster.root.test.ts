/** Two nodes from nothing: pods as processes, services, DNS, probes, faults; and nothing is left when the owner is killed. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { after, before, test } from "node:test";
import { Exec, PortForward } from "@kubernetes/client-node";
import { createObject } from "#core/k8s/apply.ts";
import { jsonObject, jsonText } from "#core/k8s/json-read.ts";
import { kindPath, POD, SECRET, SERVICE } from "#core/k8s/kinds.ts";
import { kubeStatus } from "#core/k8s/kube-client.ts";
import { silentLogger } from "#core/runtime/log.ts";
import { startInBackground } from "./background-owner.ts";
import { clusterStatus, clusterUp } from "./cluster.ts";
import { eventually, isReady, OwnedCluster, skipWithoutRoot } from "./testing/owned-cluster.ts";

const options = { skip: skipWithoutRoot(), timeout: 60_000 };
const id = `t${process.pid}`;
const prefix = `ambit-${id}`;
const local = new OwnedCluster(id, 2);
const machineBefore = options.skip === false ? machineNetwork() : "";

/** What a user's machine looks like from outside: links, addresses, routes, rules. */
function machineNetwork(): string {
  const ip = (...args: readonly string[]): string => execFileSync("ip", args, { encoding: "utf8" });
  const tables = execFileSync("nft", ["list", "tables"], { encoding: "utf8" });
  return [ip("-o", "link").replace(/state \w+|qlen \d+/g, ""), ip("-4", "route"), ip("rule"), tables].join(
    "\n",
  );
}

before(() => local.start());
after(() => local.stop());

test(
  "pods on two nodes are Ready and reach each other over IPv4 and IPv6 with their own addresses",
  options,
  async () => {
    await Promise.all([
      local.makePod("client", {
        node: "n1",
        container: { image: "ambit/sample-client", readinessProbe: undefined },
      }),
      local.makePod("near", { node: "n1", labels: { app: "web" } }),
      local.makePod("far", { node: "n2", labels: { app: "web" } }),
    ]);
    const [own, near, far] = await Promise.all([
      local.untilReady("client"),
      local.untilReady("near"),
      local.untilReady("far"),
    ]);
    const tried: string[] = [];
    for (const target of [near, far]) {
      for (const [i, { ip }] of (target.podIPs ?? []).entries()) {
        const { out } = await local.run(
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
    await createObject(local.client, SERVICE, "default", {
      metadata: { name: "web" },
      spec: { selector: { app: "web" }, ports },
    });
    await createObject(local.client, SERVICE, "default", {
      metadata: { name: "empty" },
      spec: { selector: { app: "none" }, ports },
    });
    await createObject(local.client, SERVICE, "default", {
      metadata: { name: "headless" },
      spec: { clusterIP: "None", selector: { app: "web" }, ports },
    });
    await eventually("the service answers", async () =>
      (await local.run("client", "curl -s -m 2 http://web/")).code === 0 ? true : undefined,
    );
    const { out } = await local.run(
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
      (await local.run("client", "curl -s -m 5 http://empty/")).code === 7 ? true : undefined,
    );
  },
);

test("cluster DNS: headless addresses, the search path, and names that are not there", options, async () => {
  const lines = (
    await local.run(
      "client",
      "getent ahostsv4 headless | cut -d' ' -f1 | sort -u | wc -l; getent hosts nope; echo rc=$?; getent hosts kubernetes.default >/dev/null; echo rc=$?",
    )
  ).out.trim();
  assert.equal(lines, "2\nrc=2\nrc=0");
});

test("a pod's service is translated on its own way back to itself", options, async () => {
  const { out } = await local.run(
    "near",
    "for i in $(seq 12); do curl -s -m 2 -o /dev/null -w '%{http_code} ' http://web/; done",
  );
  assert.equal(out.trim(), Array(12).fill("200").join(" "));
});

test("the API is reached from pods with the pod's own token, and only with it", options, async () => {
  const directory = "/var/run/secrets/kubernetes.io/serviceaccount";
  const ask = `curl -s -m 3 -o /dev/null -w '%{http_code}' --cacert ${directory}/ca.crt`;
  const url = "https://kubernetes.default.svc/api/v1/namespaces/default/pods";
  const { out } = await local.run(
    "client",
    `${ask} -H "Authorization: Bearer $(cat ${directory}/token)" ${url}; echo; ${ask} ${url}`,
  );
  const [withToken, without] = out.split("\n");
  assert.equal(withToken, "403", "known, and allowed nothing");
  assert.match(without ?? "", /^40[13]$/);
});

test("readiness follows the probe, and endpoints follow readiness", options, async () => {
  await local.run("client", `curl -s -m 2 -X POST http://${(await local.statusOf("near")).podIP}:8080/fail`);
  await eventually("near is not Ready", async () =>
    isReady(await local.statusOf("near")) ? undefined : true,
  );
  assert.ok(
    (await local.eventsOf("near", "Unhealthy")).some((message) => message.includes("statuscode: 503")),
  );
  await eventually("all answers come from far", async () => {
    const { out } = await local.run("client", "for i in $(seq 10); do curl -s -m 2 http://web/; done");
    return out.includes('"near"') ? undefined : true;
  });
});

test(
  "exec gives the exit status, logs give what was written, env has the downward API",
  options,
  async () => {
    assert.equal((await local.run("client", "exit 7")).code, 7);
    const script = 'echo "$WHO on $WHERE as $(id -u)"; exec sleep 1000';
    await local.makePod("talker", {
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
    await local.untilReady("talker");
    const stream = await local.client.stream({
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
  await new Exec(local.config).exec(
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
      const socket = await new PortForward(local.config, true).portForward(
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
    await createObject(local.client, SECRET, "default", {
      metadata: { name: "keys" },
      stringData: { one: "1" },
      data: {},
    });
    const token = {
      serviceAccountToken: { audience: "istio-ca", expirationSeconds: 3600, path: "istio-token" },
    };
    await local.makePod("mounts", {
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
    await local.untilReady("mounts");
    const script =
      "cut -d. -f2 /run/secrets/tokens/istio-token | tr '_-' '/+' | base64 -d 2>/dev/null; echo; stat -Lc %a /run/secrets/tokens/istio-token; touch /keys/x; cat /keys/one 2>/dev/null; echo; touch /scratch/x && echo written";
    const { out } = await local.run("mounts", script);
    assert.match(out, /"aud":\["istio-ca"\]/);
    assert.match(out, /\n400\n[\s\S]*Read-only[\s\S]*1\nwritten\n$/);
  },
);

test(
  "an image that is not known here says what to do; a crashing container backs off and is restarted",
  options,
  async () => {
    await local.makePod("stranger", { container: { image: "nginx:1.29" } });
    const waiting = await eventually("ErrImagePull", async () => {
      const state = (await local.statusOf("stranger")).containerStatuses?.[0]?.state.waiting;
      return state?.reason === "ErrImagePull" ? state : undefined;
    });
    assert.match(waiting.message ?? "", /runs only ambit\/ztunnel.*needs a real Kubernetes cluster/);
    await local.makePod("crash", {
      container: { image: "ambit/host", command: ["sh", "-c", "exit 3"], readinessProbe: undefined },
    });
    await eventually("CrashLoopBackOff after two restarts", async () => {
      const status = (await local.statusOf("crash")).containerStatuses?.[0];
      const backingOff =
        status?.state.waiting?.reason === "CrashLoopBackOff" && status.lastState.terminated?.exitCode === 3;
      return backingOff && status.restartCount >= 1 ? true : undefined;
    });
    await local.remove(POD, "crash");
    await local.remove(POD, "stranger");
  },
);

test(
  "a failing CNI plugin keeps the pod from starting and its words are in the event; repaired, the pod starts",
  options,
  async () => {
    const directory = join(local.cluster.stateDir, "nodes", "n1");
    const conflist = join(directory, "cni-conf", "10-ambit-local.conflist");
    const good = readFileSync(conflist, "utf8");
    const list = JSON.parse(good) as { plugins: object[] };
    const script = `#!/bin/sh\ncat >/dev/null\n[ "$CNI_COMMAND" = DEL ] && exit 0\necho '{"code":100,"msg":"enrolment failed","details":"start the agent"}'\nexit 1\n`;
    writeFileSync(join(directory, "cni-bin", "refuser"), script, { mode: 0o755 });
    list.plugins.push({ type: "refuser" });
    writeFileSync(conflist, JSON.stringify(list));
    await local.makePod("held", { node: "n1" });
    await eventually("two failed sandboxes", async () =>
      (await local.eventsOf("held", "FailedCreatePodSandBox")).length > 0 ? true : undefined,
    );
    const [message] = await local.eventsOf("held", "FailedCreatePodSandBox");
    assert.equal(
      message,
      'Failed to create pod sandbox: plugin type="refuser" failed (add): enrolment failed; start the agent',
    );
    assert.equal((await local.statusOf("held")).phase, "Pending");
    writeFileSync(conflist, good);
    await local.untilReady("held");
    await local.remove(POD, "held");
  },
);

test("deleting a pod ends its processes and frees its group", options, async () => {
  await local.makePod("brief", { node: "n2" });
  await local.untilReady("brief");
  const groups = (): readonly string[] =>
    readdirSync(join(local.cluster.nodes[1]?.cgroup ?? "", "kubepods", "besteffort")).filter((name) =>
      name.startsWith("pod"),
    );
  const before = groups().length;
  await local.remove(POD, "brief");
  await eventually("brief is gone", async () => {
    try {
      await local.statusOf("brief");
      return undefined;
    } catch (error) {
      return kubeStatus(error) === 404 ? true : undefined;
    }
  });
  assert.equal(groups().length, before - 1);
});

test("a kubelet that is killed comes back, and so do its pods", options, async () => {
  const procs = readFileSync(join(local.cluster.nodes[1]?.cgroup ?? "", "kubelet", "cgroup.procs"), "utf8")
    .trim()
    .split("\n")
    .map(Number);
  const before = (await local.statusOf("far")).containerStatuses?.[0]?.containerID;
  for (const pid of procs) process.kill(pid, "SIGKILL");
  await eventually("far runs again", async () => {
    const status = await local.statusOf("far");
    return isReady(status) && status.containerStatuses?.[0]?.containerID !== before ? true : undefined;
  });
  await eventually("the service answers", async () =>
    (await local.run("client", "curl -s -m 2 http://web/")).code === 0 ? true : undefined,
  );
});

test("a second cluster of the same id is refused while the first one lives", options, async () => {
  assert.equal(clusterStatus(id).state, "running");
  await assert.rejects(clusterUp({ id, nodes: 1, log: silentLogger, build: false }), {
    code: "CLUSTER_RUNNING",
  });
});

test("a start in the background that fails tells the owner's own words", options, async (t) => {
  const taken = createServer().listen(0, "127.0.0.1");
  t.after(() => taken.close());
  await once(taken, "listening");
  const port = String((taken.address() as AddressInfo).port);
  const second = `${id}b`;
  const start = { id: second, arguments: ["local", "up", "--foreground", "--id", second, "--port", port] };
  await assert.rejects(
    startInBackground(start, () => undefined, AbortSignal.timeout(50_000)),
    (error: Error) =>
      /CLUSTER_START/.test(`${String((error as { code?: unknown }).code)}`) &&
      /EADDRINUSE/.test(error.message),
  );
  assert.equal(clusterStatus(second).state, "absent");
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
  local.owner.kill("SIGKILL");
  await eventually("nothing is left", () => (leftovers().length === 0 ? true : undefined)).catch(
    () => undefined,
  );
  assert.deepEqual(leftovers(), []);
  assert.equal(clusterStatus(id).state, "absent");
});
