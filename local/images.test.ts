import assert from "node:assert/strict";
import { test } from "node:test";
import { hostLayout, parseCgroupMounts } from "./host-layout.ts";
import { IMAGE_NAMES, lookUpImage } from "./images.ts";
import { nodeAddresses } from "./network/addresses.ts";
import { conflistText } from "./network/node-conflist.ts";
import { nodeInitPlan } from "./node-plan.ts";
import { checkClusterId } from "./state-file.ts";

for (const name of [
  "ambit/ztunnel",
  "ambit/ztunnel:1.2",
  "docker.io/ambit/ztunnel@sha256:00",
  "localhost:5000/ambit/ztunnel:dev",
]) {
  test(`${name} is ztunnel`, () => {
    const found = lookUpImage(name);
    assert.ok(found.kind === "found");
    assert.match(found.image.command.join(" "), /--disable-sigusr1 .*ztunnel\.mjs$/);
  });
}
test("root is for what needs it: ztunnel, the node agent and the shell", () => {
  const users = IMAGE_NAMES.map((name) => [name, lookUpImage(name)] as const).filter(
    ([, found]) => found.kind === "found" && found.image.uid === 0,
  );
  assert.deepEqual(
    users.map(([name]) => name),
    ["ambit/ztunnel", "ambit/istio-cni", "ambit/host"],
  );
  const waypoint = lookUpImage("ambit/waypoint");
  assert.ok(waypoint.kind === "found");
  assert.match(waypoint.image.command.join(" "), /ulimit -c 0; exec.* --disable-sigusr1 .*waypoint\.mjs$/);
});

for (const name of [
  "nginx",
  "istio/ztunnel",
  "ambit/ztunnel/x",
  "constructor",
  "",
  "evil.example/x/ambit/ztunnel",
]) {
  test(`"${name}" is not known, and the message says what is`, () => {
    const found = lookUpImage(name);
    assert.ok(found.kind === "unknown");
    assert.match(found.message, /ambit\/sample-echo.*real Kubernetes cluster/);
  });
}

const hybrid =
  "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\ncgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
test("control groups: v2 alone, v2 beside v1, and none", () => {
  assert.deepEqual(parseCgroupMounts("cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\n"), {
    v2: "/sys/fs/cgroup",
    v1: {},
  });
  const v1 = { cpu: "/sys/fs/cgroup/cpu", memory: "/sys/fs/cgroup/memory" };
  assert.deepEqual(parseCgroupMounts(hybrid), { v2: "/sys/fs/cgroup/unified", v1 });
  assert.throws(() => parseCgroupMounts("tmpfs /tmp tmpfs rw 0 0\n"), { code: "CGROUP_V2_MISSING" });
});

test("cluster ids are short and plain: they become names and paths", () => {
  for (const id of ["a", "demo", "t12345"]) checkClusterId(id);
  for (const id of ["", "../x", "A", "a b", "-a", "a-", "a".repeat(13), "a/b"])
    assert.throws(() => checkClusterId(id), { code: "CLUSTER_ID" });
});

test("a node joins its group, makes its own namespaces before it mounts anything, and shares its mounts with its pods", () => {
  const plan = nodeInitPlan({
    name: "n1",
    host: { ...hostLayout(), cgroups: parseCgroupMounts(hybrid) },
    cgroup: "ambit-x/n1",
    netns: "/run/netns/ambit-x-n1",
    directory: "/s",
    nodeHome: "/n",
    bundles: "/b",
    launcherDirectory: "/l",
  });
  const lines = plan.map((step) => step.join(" "));
  assert.equal(lines[0], "cgroup /sys/fs/cgroup/unified/ambit-x/n1");
  const order = [
    "unshare cgroup",
    "netns /run/netns/ambit-x-n1",
    "unshare mnt,uts,ipc,pid",
    "fork",
    "propagation private",
    "root /s/root",
    "bpffs /sys/fs/bpf",
    "pivot",
    "propagation shared",
  ];
  const places = order.map((line) => lines.indexOf(line));
  assert.deepEqual(
    places,
    places.toSorted((a, b) => a - b),
  );
  assert.ok(places[0] !== -1);
  assert.ok(lines.includes("bind  /sys/fs/cgroup/memory/ambit-x/n1 /sys/fs/cgroup/memory"));
});

test("node addresses and CNI configuration", () => {
  assert.deepEqual(nodeAddresses(2), {
    index: 2,
    ip: "172.30.0.12",
    ip6: "fd30::c",
    podCidr: "10.244.2.0/24",
    podCidr6: "fd24:0:0:2::/64",
  });
  assert.throws(() => nodeAddresses(0));
  assert.match(conflistText(nodeAddresses(1), true), /"type": "bridge"/);
  assert.match(conflistText(nodeAddresses(1), false), /"type": "ptp"/);
});
