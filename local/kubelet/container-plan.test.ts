import assert from "node:assert/strict";
import { test } from "node:test";
import type { Image } from "../images.ts";
import type { HostLayout } from "../node-plan.ts";
import { containerPlan, type PlanInput, refusal, userPlan } from "./container-plan.ts";
import type { ContainerSpec, PodSpec } from "./pod-types.ts";

const host: HostLayout = {
  topLinks: [{ path: "/bin", target: "usr/bin" }],
  topDirectories: [],
  etc: ["/etc/passwd"],
  cgroups: { v2: "/sys/fs/cgroup/unified", v1: { memory: "/sys/fs/cgroup/memory" } },
};
const image: Image = { command: ["/app"], env: {}, uid: 1000, gid: 1000 };

function plan(
  container: Partial<ContainerSpec> = {},
  spec: Partial<PodSpec> = {},
  more: Partial<PlanInput> = {},
): readonly string[] {
  const input: PlanInput = {
    spec: { containers: [], ...spec },
    container: { name: "main", image: "x", ...container },
    image,
    host,
    cgroup: "kubepods/besteffort/podu/main",
    netns: "/run/netns/cni-1",
    sandboxPid: 7,
    pidFile: "/p/0.pid",
    rootDirectory: "/p/root",
    etcDirectory: "/p",
    volumes: new Map([
      ["v", "/vol"],
      ["w", "/wol"],
    ]),
    ...more,
  };
  return containerPlan(input).map((step) => step.join(" "));
}

test("an ordinary container: groups first, own namespaces, own root, no privilege, last of all its user", () => {
  assert.deepEqual(
    plan().filter((line) => !/\/dev|^dir |opt\/ambit/.test(line)),
    [
      "cgroup /sys/fs/cgroup/unified/kubepods/besteffort/podu/main",
      "cgroup /sys/fs/cgroup/memory/kubepods/besteffort/podu/main",
      "netns /run/netns/cni-1",
      "enter 7 uts,ipc",
      "unshare mnt,pid,cgroup",
      "pid-file /p/0.pid",
      "fork",
      "propagation slave",
      "root /p/root",
      "bind Rr /usr /usr",
      "link usr/bin /bin",
      "bind r /etc/passwd /etc/passwd",
      "link ../run /var/run",
      "proc /proc",
      "bind r /proc/sys /proc/sys",
      "sysfs /sys ro",
      "tmpfs /run mode=755,size=64m",
      "tmpfs /tmp mode=1777,size=256m",
      "bind  /p/resolv.conf /etc/resolv.conf",
      "bind  /p/hosts /etc/hosts",
      "bind  /p/hostname /etc/hostname",
      "pivot",
      "keep-caps a00405fb",
      "user 1000 1000",
      "no-new-privs",
      "cwd /",
    ],
  );
});

test("hostNetwork and hostPID keep the node's namespaces", () => {
  const lines = plan({}, { hostNetwork: true, hostPID: true }, { netns: "", sandboxPid: undefined });
  assert.equal(
    lines.some((line) => /^(netns|enter)/.test(line)),
    false,
  );
  assert.ok(lines.includes("unshare mnt,cgroup"));
});

test("only privileged containers write below /proc/sys", () => {
  const lines = plan({ securityContext: { privileged: true } });
  assert.deepEqual(
    lines.filter((line) => line.includes("/proc/sys")),
    [],
  );
});

test("the host's devices only for privileged containers", () => {
  assert.equal(plan().includes("bind R /dev /dev"), false);
  const lines = plan({ securityContext: { privileged: true } });
  assert.ok(
    lines.includes("bind R /dev /dev") &&
      lines.includes("sysfs /sys rw") &&
      lines.includes("keep-caps ffffffffffffffff"),
  );
  assert.equal(lines.includes("no-new-privs"), false);
});

test("a read-only root has no writable /run and /tmp either", () => {
  const lines = plan({ securityContext: { readOnlyRootFilesystem: true } });
  assert.equal(
    lines.some((line) => /^tmpfs \/(run|tmp) /.test(line)),
    false,
  );
  assert.ok(lines.indexOf("read-only-root") > lines.indexOf("pivot"));
});

test("volumes: outer ones first, read-only, sub-paths, and propagation only when asked for", () => {
  const volumeMounts = [
    { name: "w", mountPath: "/data/inner", readOnly: true, subPath: "s" },
    { name: "v", mountPath: "/data", mountPropagation: "HostToContainer" },
    { name: "unknown", mountPath: "/nothing" },
  ];
  const lines = plan({ volumeMounts }).filter((line) => / \/(data|nothing)/.test(line));
  assert.deepEqual(lines, ["bind R /vol /data", "bind Rrp /wol/s /data/inner"]);
});

const users: readonly {
  readonly name: string;
  readonly spec?: Partial<PodSpec>;
  readonly own?: ContainerSpec["securityContext"];
  readonly expect: object;
}[] = [
  { name: "the image's user", expect: { uid: 1000, gid: 1000, groups: [] } },
  {
    name: "the pod's user has group 0 unless told",
    spec: { securityContext: { runAsUser: 5 } },
    expect: { uid: 5, gid: 0 },
  },
  {
    name: "the container's user wins",
    spec: { securityContext: { runAsUser: 5 } },
    own: { runAsUser: 6, runAsGroup: 7 },
    expect: { uid: 6, gid: 7 },
  },
  {
    name: "fsGroup and supplementary groups",
    spec: { securityContext: { fsGroup: 9, supplementalGroups: [8] } },
    expect: { groups: [8, 9] },
  },
  {
    name: "drop ALL, add two",
    own: { capabilities: { drop: ["ALL"], add: ["NET_ADMIN", "CAP_SYS_ADMIN"] } },
    expect: { capabilities: "201000" },
  },
  {
    name: "an unknown capability adds nothing",
    own: { capabilities: { drop: ["all"], add: ["FLY"] } },
    expect: { capabilities: "0" },
  },
];
for (const c of users) {
  test(`user: ${c.name}`, () => {
    const container: ContainerSpec = {
      name: "c",
      image: "i",
      ...(c.own === undefined ? {} : { securityContext: c.own }),
    };
    const actual = userPlan({ containers: [], ...c.spec }, container, image);
    assert.deepEqual({ ...actual, ...c.expect }, actual);
  });
}

test("NET_ADMIN, NET_RAW and MKNOD are not among what a container has by default", () => {
  const mask = BigInt(`0x${userPlan({ containers: [] }, { name: "c", image: "i" }, image).capabilities}`);
  for (const bit of [12n, 13n, 27n]) assert.equal((mask >> bit) & 1n, 0n);
});

test("runAsNonRoot refuses root and nobody else", () => {
  const container: ContainerSpec = { name: "c", image: "i", securityContext: { runAsNonRoot: true } };
  assert.match(refusal({ containers: [] }, container, { ...image, uid: 0 }) ?? "", /will run as root/);
  assert.equal(refusal({ containers: [] }, container, image), undefined);
});
