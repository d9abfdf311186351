import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { installLauncher } from "./launcher.ts";

const isRoot = process.getuid?.() === 0;
if (!isRoot && process.env["AMBIT_REQUIRE_ROOT"] === "1") throw new Error("these tests need root");
const options = { skip: isRoot ? false : "needs root: namespaces and mounts" };

const folder = mkdtempSync(join(tmpdir(), "ambit-launcher-root-"));
const launcher = join(folder, "ambit-run");
installLauncher(launcher);
mkdirSync(join(folder, "root"));
mkdirSync(join(folder, "volume"));
writeFileSync(join(folder, "volume", "file"), "inside\n");
after(() => rmSync(folder, { recursive: true, force: true }));

const OWN_ROOT = [
  ["unshare", "mnt,pid,uts"],
  ["fork"],
  ["propagation", "slave"],
  ["root", join(folder, "root")],
  ["bind", "Rr", "/usr", "/usr"],
  ["link", "usr/bin", "/bin"],
  ["link", "usr/lib", "/lib"],
  ["link", "usr/lib64", "/lib64"],
  ["proc", "/proc"],
].flat();

function run(args: readonly string[]): {
  readonly status: number | null;
  readonly out: string;
  readonly err: string;
} {
  const result = spawnSync(launcher, args, {
    encoding: "utf8",
    timeout: 10_000,
    env: { PATH: "/usr/bin:/bin" },
  });
  return { status: result.status, out: result.stdout, err: result.stderr };
}

test("an ordinary user: no capability, none to be had, no new privileges, no groups", options, () => {
  const result = run([
    "keep-caps",
    "400",
    "user",
    "1000",
    "1000",
    "no-new-privs",
    "--",
    "sh",
    "-c",
    "id -u; id -G; cat /proc/self/status",
  ]);
  assert.match(result.out, /^1000\n1000\n/);
  assert.match(result.out, /CapPrm:\t0+\nCapEff:\t0+\nCapBnd:\t0+400\nCapAmb:\t0+\nNoNewPrivs:\t1/);
});

test("root keeps exactly the capabilities that it was given", options, () => {
  const result = run([
    "keep-caps",
    "1",
    "user",
    "0",
    "0",
    "--",
    "sh",
    "-c",
    "grep -E 'CapEff|CapBnd' /proc/self/status; chown 1 /proc/self/x; hostname nope",
  ]);
  assert.match(result.out, /CapEff:\t0{15}1\nCapBnd:\t0{15}1/);
  assert.match(result.err, /hostname/);
});

test("supplementary groups are set with the user", options, () => {
  assert.equal(
    run(["groups", "2000,3000", "user", "1000", "1000", "--", "id", "-G"]).out,
    "1000 2000 3000\n",
  );
});

test(
  "a root of its own: the host's data is gone, its programs are read-only, pid 1 is the program",
  options,
  () => {
    const script = "ls /; echo $$; touch /usr/x; ls -d /root";
    const result = run([...OWN_ROOT, "pivot", "hostname", "inside", "--", "sh", "-c", script]);
    assert.equal(result.out, "bin\nlib\nlib64\nproc\nusr\n1\n");
    assert.match(result.err, /Read-only file system/);
  },
);

test("volumes: read-only or not, files as well as directories, missing targets are made", options, () => {
  const file = join(folder, "volume", "file");
  const plan = [
    "bind",
    "Rr",
    join(folder, "volume"),
    "/data/ro",
    "bind",
    "Rp",
    join(folder, "volume"),
    "/data/rw",
    "bind",
    "",
    file,
    "/etc/one",
  ];
  const result = run([
    ...OWN_ROOT,
    ...plan,
    "pivot",
    "--",
    "sh",
    "-c",
    "cat /data/ro/file /etc/one; touch /data/ro/new; touch /data/rw/new && echo ok",
  ]);
  assert.equal(result.out, "inside\ninside\nok\n");
  assert.match(result.err, /\/data\/ro\/new.*Read-only/);
});

test("a symbolic link in a volume cannot lead a mount out of the new root", options, () => {
  mkdirSync(join(folder, "trap"));
  symlinkSync("../../../../../../../../../../../../tmp", join(folder, "trap", "up"));
  symlinkSync("/etc", join(folder, "trap", "absolute"));
  const plan = [
    "bind",
    "R",
    join(folder, "trap"),
    "/v",
    "bind",
    "R",
    join(folder, "volume"),
    "/v/up/a",
    "bind",
    "R",
    join(folder, "volume"),
    "/v/absolute/b",
  ];
  const result = run([
    ...OWN_ROOT,
    "dir",
    "/tmp",
    "dir",
    "/etc",
    ...plan,
    "pivot",
    "--",
    "sh",
    "-c",
    "cat /tmp/a/file /etc/b/file",
  ]);
  assert.equal(result.out, "inside\ninside\n", result.err);
});

test("nothing of all that was mounted is left outside", options, () => {
  assert.equal(readFileSync("/proc/self/mounts", "utf8").includes(folder), false);
});

test("connect relays bytes both ways and half-closes", options, async () => {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    let got = "";
    socket.on("data", (chunk: Buffer) => (got += chunk.toString()));
    socket.on("end", () => socket.end(`echo:${got}`));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const child = spawn(launcher, ["connect", "127.0.0.1", String((server.address() as AddressInfo).port)], {
    stdio: "pipe",
  });
  let out = "";
  child.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
  child.stdin.end("hello");
  const code = await new Promise((resolve) => child.on("close", resolve));
  server.close();
  assert.deepEqual({ out, code }, { out: "echo:hello", code: 0 });
});

test(
  "terminal: the program sees a terminal of the given size, and its status comes out",
  options,
  async () => {
    const child = spawn(
      launcher,
      ["terminal", "--", "sh", "-c", "read x; stty size; tty -s && echo tty; exit 7"],
      { stdio: ["pipe", "pipe", "inherit", "pipe"] },
    );
    let out = "";
    child.stdout?.on("data", (chunk: Buffer) => (out += chunk.toString()));
    const sizes = child.stdio[3];
    assert.ok(sizes !== null && sizes !== undefined && "write" in sizes);
    sizes.write(Buffer.of(0, 40, 0, 100));
    await new Promise((resolve) => setTimeout(resolve, 100));
    child.stdin?.write("go\n");
    const code = await new Promise((resolve) => child.on("close", resolve));
    assert.match(out, /40 100\r\ntty\r\n$/);
    assert.equal(code, 7);
  },
);
