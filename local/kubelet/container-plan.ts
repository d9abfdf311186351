/**
 * Pure. A container as a launcher plan: groups, namespaces, a root file system of its own, volumes, user, capabilities.
 * The root is a tmpfs that holds the host's programs read-only and nothing of its data.
 */
import type { LaunchPlan } from "../launcher/launcher.ts";
import { type HostLayout, joinCgroup, rootSkeleton } from "../node-plan.ts";
import type { Image } from "../images.ts";
import type { ContainerSpec, PodSpec, VolumeMount } from "./pod-types.ts";

export interface PlanInput {
  readonly spec: PodSpec;
  readonly container: ContainerSpec;
  readonly image: Image;
  readonly host: HostLayout;
  /** Group of this container below the node's top. */
  readonly cgroup: string;
  /** Empty for hostNetwork. */
  readonly netns: string;
  /** Holder of the pod's uts and ipc namespaces; undefined for hostNetwork, which keeps the node's. */
  readonly sandboxPid: number | undefined;
  readonly pidFile: string;
  /** Empty directory on which the root is mounted. */
  readonly rootDirectory: string;
  /** resolv.conf, hosts, hostname of the pod. */
  readonly etcDirectory: string;
  /** Volume name to directory or file on the node. */
  readonly volumes: ReadonlyMap<string, string>;
}

export interface UserPlan {
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  /** Bit mask, hexadecimal. */
  readonly capabilities: string;
  readonly noNewPrivileges: boolean;
}

const CAPABILITIES: readonly string[] = (
  "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST " +
  "NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE " +
  "SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM " +
  "BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
).split(" ");
/** containerd's default set without NET_RAW (address spoofing on the bridge) and MKNOD. */
const DEFAULT_CAPABILITIES: readonly string[] =
  "CHOWN DAC_OVERRIDE FSETID FOWNER SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE".split(
    " ",
  );

const WRITABLE: LaunchPlan = [
  ["tmpfs", "/run", "mode=755,size=64m"],
  ["tmpfs", "/tmp", "mode=1777,size=256m"],
];

const DEVICES = ["null", "zero", "full", "random", "urandom", "tty"];

/** Who the container runs as, by the container's security context, then the pod's, then the image. */
export function userPlan(spec: PodSpec, container: ContainerSpec, image: Image): UserPlan {
  const own = container.securityContext ?? {};
  const pod = spec.securityContext ?? {};
  const uid = own.runAsUser ?? pod.runAsUser ?? image.uid;
  const gid = own.runAsGroup ?? pod.runAsGroup ?? (uid === image.uid ? image.gid : 0);
  const noNewPrivileges = own.privileged !== true && own.allowPrivilegeEscalation !== true;
  return { uid, gid, groups: groupsOf(spec), capabilities: capabilityMask(container), noNewPrivileges };
}

function groupsOf({ securityContext = {} }: PodSpec): readonly number[] {
  const { supplementalGroups = [], fsGroup } = securityContext;
  return fsGroup === undefined ? supplementalGroups : [...supplementalGroups, fsGroup];
}

function capabilityMask(container: ContainerSpec): string {
  const { privileged, capabilities } = container.securityContext ?? {};
  const normal = (names: readonly string[] = []): readonly string[] =>
    names.map((n) => n.toUpperCase().replace(/^CAP_/, ""));
  const add = normal(capabilities?.add);
  const drop = normal(capabilities?.drop);
  if (privileged === true || add.includes("ALL")) return "ffffffffffffffff";
  const kept = drop.includes("ALL") ? [] : DEFAULT_CAPABILITIES.filter((name) => !drop.includes(name));
  const mask = [...new Set([...kept, ...add])]
    .map((name) => CAPABILITIES.indexOf(name))
    .filter((bit) => bit >= 0)
    .reduce((sum, bit) => sum | (1n << BigInt(bit)), 0n);
  return mask.toString(16);
}

/** `runAsNonRoot` with a root user: the sentence of the real kubelet; undefined when all is well. */
export function refusal(spec: PodSpec, container: ContainerSpec, image: Image): string | undefined {
  const nonRoot = container.securityContext?.runAsNonRoot ?? spec.securityContext?.runAsNonRoot ?? false;
  if (!nonRoot || userPlan(spec, container, image).uid !== 0) return undefined;
  return "container has runAsNonRoot and image will run as root";
}

export function containerPlan(input: PlanInput): LaunchPlan {
  const { spec, container, host } = input;
  const privileged = container.securityContext?.privileged === true;
  const readOnlyRoot = container.securityContext?.readOnlyRootFilesystem === true;
  const user = userPlan(spec, container, input.image);
  return [
    ...joinCgroup(host.cgroups, input.cgroup),
    ...(input.netns === "" ? [] : [["netns", input.netns]]),
    ...(input.sandboxPid === undefined ? [] : [["enter", String(input.sandboxPid), "uts,ipc"]]),
    ["unshare", `mnt${spec.hostPID === true ? "" : ",pid"}${privileged ? "" : ",cgroup"}`],
    ["pid-file", input.pidFile],
    ["fork"],
    ["propagation", "slave"],
    ["root", input.rootDirectory],
    ...rootSkeleton(host),
    ...["node", "lib", "bin"].map((part) => ["bind", "r", `/opt/ambit/${part}`, `/opt/ambit/${part}`]),
    ["proc", "/proc"],
    ...(privileged ? [] : [["bind", "r", "/proc/sys", "/proc/sys"]]), // as container runtimes show it
    ["sysfs", "/sys", privileged ? "rw" : "ro"],
    ...devices(privileged),
    ...(readOnlyRoot
      ? [
          ["dir", "/run"],
          ["dir", "/tmp"],
        ]
      : WRITABLE),
    ...["resolv.conf", "hosts", "hostname"].map((file) => [
      "bind",
      "",
      `${input.etcDirectory}/${file}`,
      `/etc/${file}`,
    ]),
    ...mounts(input),
    ["pivot"],
    ...(readOnlyRoot ? [["read-only-root"]] : []),
    ...userSteps(user),
    ["cwd", container.workingDir ?? "/"],
  ];
}

/** Also for `exec`, which runs as the container does. */
export function userSteps(user: UserPlan): LaunchPlan {
  return [
    ["keep-caps", user.capabilities],
    ...(user.groups.length === 0 ? [] : [["groups", user.groups.join(",")]]),
    ["user", String(user.uid), String(user.gid)],
    ...(user.noNewPrivileges ? [["no-new-privs"]] : []),
  ];
}

function devices(privileged: boolean): LaunchPlan {
  if (privileged) return [["bind", "R", "/dev", "/dev"]];
  return [
    ["tmpfs", "/dev/shm", "mode=1777,size=64m"],
    ["devpts", "/dev/pts"],
    ["link", "pts/ptmx", "/dev/ptmx"],
    ...DEVICES.map((name) => ["bind", "", `/dev/${name}`, `/dev/${name}`]),
    ["link", "/proc/self/fd", "/dev/fd"],
    ...["stdin", "stdout", "stderr"].map((name, fd) => ["link", `/proc/self/fd/${fd}`, `/dev/${name}`]),
  ];
}

/** Shorter paths first, so that a volume inside another volume is mounted on top. */
function mounts(input: PlanInput): LaunchPlan {
  const all = input.container.volumeMounts ?? [];
  return all
    .toSorted((a, b) => a.mountPath.length - b.mountPath.length)
    .flatMap((mount) => oneMount(input, mount));
}

function oneMount(input: PlanInput, mount: VolumeMount): LaunchPlan {
  const source = input.volumes.get(mount.name);
  if (source === undefined) return [];
  const follows = mount.mountPropagation !== undefined && mount.mountPropagation !== "None";
  const flags = `R${mount.readOnly === true ? "r" : ""}${follows ? "" : "p"}`;
  return [
    ["bind", flags, mount.subPath === undefined ? source : `${source}/${mount.subPath}`, mount.mountPath],
  ];
}
