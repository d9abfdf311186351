/** Rules, routes and sysctls of the pod's namespace that bring captured segments to lo (S1 of a captured connection). */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { NETLINK_ROUTE, withNetlink } from "#core/linux/netlink.ts";
import { inNetns, type Netns } from "#core/linux/netns.ts";
import {
  addLocalDefault,
  addMarkRule,
  deleteLocalDefault,
  deleteMarkRule,
  type RouteFamily,
} from "#core/linux/rtnetlink.ts";
import { AF_INET, AF_INET6 } from "#core/linux/socket-encoding.ts";
import { isErrno } from "#core/linux/system-call-error.ts";
import type { AttachmentProblem } from "./capture.ts";
import { MARK_RULES, NODE_SYSCTLS, ROUTING_TABLE, SYSCTLS } from "./kernel-names.ts";

/** The same files by either path, of the namespace that the reading thread is in. */
const SYSCTL_ROOT = existsSync(NODE_SYSCTLS) ? NODE_SYSCTLS : "/proc/sys/net";

/** Makes everything as it must be; returns what was not. */
export function ensureRouting(netns: Netns): readonly AttachmentProblem[] {
  return [...ensureSysctls(netns), ...ensureRules(netns)];
}

/** Takes everything back; kernel defaults return. */
export function removeRouting(netns: Netns): void {
  withNetlink(NETLINK_ROUTE, netns, (socket) => {
    for (const family of families(netns)) {
      for (const rule of MARK_RULES) deleteMarkRule(socket, family, rule);
      deleteLocalDefault(socket, family, ROUTING_TABLE);
    }
  });
  inNetns(netns, () => {
    for (const { path, initial } of SYSCTLS)
      if (existsSync(join(SYSCTL_ROOT, path))) writeSysctl(path, initial);
  });
}

/** IPv6 may be switched off in the namespace: its routes are refused then, and no such packet exists. */
export function families(netns: Netns): readonly RouteFamily[] {
  const disabled = inNetns(netns, () => readSysctl("ipv6/conf/lo/disable_ipv6"));
  return disabled === "0" ? [AF_INET, AF_INET6] : [AF_INET];
}

function ensureRules(netns: Netns): readonly AttachmentProblem[] {
  const problems: AttachmentProblem[] = [];
  const missing = (message: string): number => problems.push({ kind: "missing-rule", message });
  withNetlink(NETLINK_ROUTE, netns, (socket) => {
    for (const family of families(netns)) {
      const name = family === AF_INET ? "IPv4" : "IPv6";
      for (const rule of MARK_RULES) {
        if (addMarkRule(socket, family, rule)) missing(`${name} rule ${rule.priority} was missing`);
      }
      if (addLocalDefault(socket, family, ROUTING_TABLE)) missing(`${name} table ${ROUTING_TABLE} was empty`);
    }
  });
  return problems;
}

function ensureSysctls(netns: Netns): readonly AttachmentProblem[] {
  return inNetns(netns, () =>
    SYSCTLS.flatMap(({ path, value, optional }) => {
      const current = readSysctl(path);
      if (current === value || (current === undefined && optional)) return [];
      writeSysctl(path, value);
      return { kind: "missing-sysctl" as const, message: `net/${path} was ${current ?? "absent"}` };
    }),
  );
}

function readSysctl(path: string): string | undefined {
  try {
    return readFileSync(join(SYSCTL_ROOT, path), "utf8").trim();
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

function writeSysctl(path: string, value: string): void {
  writeFileSync(join(SYSCTL_ROOT, path), value);
}
