import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { type Attachment, CniRuntime } from "./cni-runtime.ts";
import { type Conflist, loadConflist, parseConflist } from "./conflist.ts";

const folder = mkdtempSync(join(tmpdir(), "ambit-cni-"));
const bin = join(folder, "bin");
mkdirSync(bin);
after(() => rmSync(folder, { recursive: true }));

/** A plugin that writes down how it was called, then does `body`. */
function plugin(name: string, body: string): void {
  const calls = join(folder, "calls");
  const note = `in=$(cat); printf '%s %s %s\\n' ${name} "$CNI_COMMAND" "$in" >> ${calls}; env | grep ^CNI_ | sort > ${folder}/env.${name}`;
  writeFileSync(join(bin, name), `#!/bin/sh\n${note}\n${body}\n`);
  chmodSync(join(bin, name), 0o755);
}
plugin(
  "first",
  `[ "$CNI_COMMAND" = ADD ] && echo '{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.2/24"}]}'; exit 0`,
);
plugin(
  "second",
  `[ "$CNI_COMMAND" = ADD ] && echo '{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.2/24"}]}'; exit 0`,
);
plugin(
  "says-why",
  `echo '{"code":100,"msg":"enrolment failed","details":"no certificate; start ztunnel"}'; exit 1`,
);
plugin("plain", `echo oh no >&2; exit 3`);
plugin("silent", "exit 1");
plugin("not-json", "echo hello");
plugin("hangs", "exec sleep 30");

let allowed = true;
let runs = 0;
const runtime = (timeoutMs = 5_000): CniRuntime =>
  new CniRuntime({
    pluginDirectories: [join(folder, "nothing"), bin],
    cacheDirectory: join(folder, "cache"),
    timeoutMs,
    assertNamespace: () => {
      runs++;
      if (!allowed) throw new Error("wrong namespace");
    },
  });

const attachment: Attachment = {
  containerId: "c1",
  ifName: "eth0",
  netns: "/run/netns/cni-1",
  args: { K8S_POD_NAME: "web", K8S_POD_UID: "u1", IgnoreUnknown: "1" },
  capabilityArgs: { "io.kubernetes.cri.pod-annotations": { a: "b" } },
};

function list(...plugins: readonly object[]): Conflist {
  const parsed = parseConflist(JSON.stringify({ cniVersion: "1.0.0", name: "net", plugins }));
  assert.ok(parsed.ok);
  return parsed.value;
}

function calls(): readonly string[] {
  const text = readFileSync(join(folder, "calls"), "utf8").trim().split("\n");
  rmSync(join(folder, "calls"));
  return text;
}

test("nothing is run when the network namespace is the wrong one", async () => {
  allowed = false;
  const before = runs;
  await assert.rejects(runtime().add(list({ type: "first" }), attachment), /wrong namespace/);
  assert.equal(runs, before + 1);
  assert.throws(() => readFileSync(join(folder, "calls")), /ENOENT/);
  allowed = true;
});

test("ADD chains results, caches the last one; CHECK and DEL get it, DEL in reverse order", async () => {
  const cni = runtime();
  const net = list(
    { type: "first", own: 1 },
    { type: "second", capabilities: { "io.kubernetes.cri.pod-annotations": true, other: true } },
  );
  const result = await cni.add(net, attachment);
  assert.deepEqual(result, { cniVersion: "1.0.0", ips: [{ address: "10.0.0.2/24" }] });
  await cni.check(net, attachment);
  await cni.del(net, attachment);
  const prev = `"prevResult":{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.2/24"}]}`;
  const config = `"runtimeConfig":{"io.kubernetes.cri.pod-annotations":{"a":"b"}}`;
  const base = `"name":"net","cniVersion":"1.0.0"`;
  assert.deepEqual(calls(), [
    `first ADD {"type":"first","own":1,${base}}`,
    `second ADD {"type":"second",${base},${prev},${config}}`,
    `first CHECK {"type":"first","own":1,${base},${prev}}`,
    `second CHECK {"type":"second",${base},${prev},${config}}`,
    `second DEL {"type":"second",${base},${prev},${config}}`,
    `first DEL {"type":"first","own":1,${base},${prev}}`,
  ]);
  assert.deepEqual(readdirSync(join(folder, "cache")), []);
});

test("the environment is the one of libcni and nothing else", async () => {
  await runtime().add(list({ type: "first" }), attachment);
  assert.equal(
    readFileSync(join(folder, "env.first"), "utf8"),
    [
      "CNI_ARGS=K8S_POD_NAME=web;K8S_POD_UID=u1;IgnoreUnknown=1",
      "CNI_COMMAND=ADD",
      "CNI_CONTAINERID=c1",
      "CNI_IFNAME=eth0",
      "CNI_NETNS=/run/netns/cni-1",
      `CNI_PATH=${join(folder, "nothing")}:${bin}`,
      "",
    ].join("\n"),
  );
});

test("DEL works without a cached result", async () => {
  await runtime().del(list({ type: "first" }), { ...attachment, containerId: "never-added", netns: "" });
});

const failures = [
  {
    plugin: "says-why",
    says: 'plugin type="says-why" failed (add): enrolment failed; no certificate; start ztunnel',
  },
  { plugin: "plain", says: 'plugin type="plain" failed (add): netplugin failed: "oh no"' },
  {
    plugin: "silent",
    says: 'plugin type="silent" failed (add): netplugin failed with no error message: exit status 1',
  },
  { plugin: "not-json", says: 'plugin type="not-json" failed (add): failed to unmarshal raw result' },
  {
    plugin: "missing",
    says: `plugin type="missing" failed (add): failed to find plugin "missing" in path [${join(folder, "nothing")} ${bin}]`,
  },
];
for (const c of failures) {
  test(`a plugin that fails reads as in a real cluster's events: ${c.plugin}`, async () => {
    await assert.rejects(runtime().add(list({ type: "first" }, { type: c.plugin }), attachment), {
      code: "CNI_FAILED",
      message: c.says,
    });
  });
}

test("a plugin that hangs is killed", async () => {
  await assert.rejects(
    runtime(200).add(list({ type: "hangs" }), attachment),
    /netplugin failed with no error message: signal SIGKILL/,
  );
});

const bad = [
  { name: "not JSON", text: "{" },
  { name: "a list", text: "[]" },
  { name: "no name", text: '{"plugins":[{"type":"x"}]}' },
  { name: "a name that leaves the cache directory", text: '{"name":"../../x","plugins":[{"type":"x"}]}' },
  { name: "no plugins", text: '{"name":"n","plugins":[]}' },
  { name: "a type that is a path", text: '{"name":"n","plugins":[{"type":"../../bin/sh"}]}' },
  { name: "a plugin that is text", text: '{"name":"n","plugins":["x"]}' },
];
for (const c of bad)
  test(`a conflist is refused: ${c.name}`, () => assert.equal(parseConflist(c.text).ok, false));

test("the first conflist by name counts, a broken first one is not skipped", () => {
  const directory = join(folder, "conf");
  mkdirSync(directory);
  assert.equal(loadConflist(directory).ok, false);
  const text = (name: string): string =>
    JSON.stringify({ cniVersion: "1.0.0", name, plugins: [{ type: "x" }] });
  writeFileSync(join(directory, "20-b.conflist"), text("b"));
  writeFileSync(join(directory, "10-a.conflist"), text("a"));
  writeFileSync(join(directory, "05-x.conf.tmp"), "junk");
  const first = loadConflist(directory);
  assert.equal(first.ok && first.value.name, "a");
  writeFileSync(join(directory, "10-a.conflist"), "{");
  assert.equal(loadConflist(directory).ok, false);
});
