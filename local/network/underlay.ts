/**
 * The wire between the nodes: a namespace with a bridge, a veth pair to each node's namespace, addresses and routes.
 * The commands are pure (`nodeLinkCommands`); everything happens inside the cluster's namespaces, nothing in the machine's own.
 */
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { promisify } from "node:util";
import { createNamedNetns, inNetns, namedNetnsPath, openNetns } from "#core/linux/netns.ts";
import { AmbitError, describeError } from "#core/runtime/errors.ts";
import { API_VIPS, DNS_ENDPOINTS, DNS_VIPS, type NodeAddresses } from "./addresses.ts";

const run = promisify(execFile);

/** IPv6 addresses say `nodad`: duplicate detection would hold back bind() for a second. */
const NO_DAD = "nodad";

export function underlayCommands(): readonly string[] {
  return [
    "link set lo up",
    "link add ul0 type bridge",
    "link set ul0 up",
    "addr add 172.30.0.1/24 dev ul0",
    `addr add fd30::1/64 dev ul0 ${NO_DAD}`,
  ];
}

/** `ip -batch` lines for one node; the default route exists so that a node's own dials to service addresses reach nat output. */
export function nodeLinkCommands(node: NodeAddresses, all: readonly NodeAddresses[]): readonly string[] {
  const vips = [...API_VIPS, ...DNS_VIPS, ...DNS_ENDPOINTS].map((vip) =>
    vip.includes(":") ? `${vip}/128 dev lo ${NO_DAD}` : `${vip}/32 dev lo`,
  );
  return [
    "link set lo up",
    "link set eth0 up",
    `addr add ${node.ip}/24 dev eth0`,
    `addr add ${node.ip6}/64 dev eth0 ${NO_DAD}`,
    ...vips.map((vip) => `addr add ${vip}`),
    "route add default via 172.30.0.1",
    "route add default via fd30::1",
    ...all
      .filter((other) => other.index !== node.index)
      .flatMap((other) => [
        `route add ${other.podCidr} via ${other.ip}`,
        `route add ${other.podCidr6} via ${other.ip6}`,
      ]),
  ];
}

/** Per namespace. Without the bridge settings, translated traffic between pods of one node would bypass conntrack on its way back. */
const NODE_SYSCTLS: Readonly<Record<string, string>> = {
  "net/ipv4/ip_forward": "1",
  "net/ipv6/conf/all/forwarding": "1",
  "net/bridge/bridge-nf-call-iptables": "1",
  "net/bridge/bridge-nf-call-ip6tables": "1",
};

/** Makes the underlay and all nodes' namespaces, named `<prefix>-ul` and `<prefix>-n1`, ... Returns what could not be set. */
export async function createUnderlay(
  prefix: string,
  nodes: readonly NodeAddresses[],
): Promise<readonly string[]> {
  const underlay = `${prefix}-ul`;
  createNamedNetns(underlay);
  await ipBatch(underlay, underlayCommands());
  const problems: string[] = [];
  for (const node of nodes) {
    const name = `${prefix}-n${node.index}`;
    const port = `n${node.index}`;
    createNamedNetns(name);
    await ipBatch(underlay, [
      `link add name ${port} type veth peer name eth0 netns ${name}`,
      `link set ${port} master ul0 up`,
    ]);
    await ipBatch(name, nodeLinkCommands(node, nodes));
    problems.push(...setSysctls(namedNetnsPath(name)));
  }
  return problems;
}

async function ipBatch(netns: string, commands: readonly string[]): Promise<void> {
  const child = run("ip", ["-n", netns, "-batch", "-"], { timeout: 20_000 });
  child.child.stdin?.on("error", () => undefined);
  child.child.stdin?.end(`${commands.join("\n")}\n`);
  try {
    await child;
  } catch (error) {
    throw new AmbitError(
      "UNDERLAY_FAILED",
      `setting up network namespace ${netns} failed: ${describeError(error)}`,
      { cause: error },
    );
  }
}

function setSysctls(netnsPath: string): readonly string[] {
  const netns = openNetns(netnsPath);
  try {
    return inNetns(netns, () =>
      Object.entries(NODE_SYSCTLS).flatMap(([name, value]) => {
        try {
          writeFileSync(`/proc/sys/${name}`, value);
          return [];
        } catch (error) {
          return [`${name}: ${describeError(error)}`];
        }
      }),
    );
  } finally {
    netns.close();
  }
}
