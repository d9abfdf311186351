import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { chooseConfFile, hasPlugin, insertPlugin, removePlugin } from "./cni-conf.ts";

const SETTINGS = { agentSocket: "/var/run/istio-cni/cni.sock" };
const LIST = JSON.stringify({
  cniVersion: "1.0.0",
  name: "pods",
  plugins: [{ type: "bridge", isGateway: true }],
});

function plugins(text: string): readonly { readonly type: string }[] {
  return (JSON.parse(text) as { plugins: { type: string }[] }).plugins;
}

test("the first readable file by name is chosen, as a runtime does", () => {
  const files = [
    { name: "20-b.conflist", text: LIST },
    { name: "10-broken.conflist", text: "{" },
    { name: ".05-temp.conflist", text: LIST },
    { name: "05-notes.txt", text: LIST },
  ];
  assert.equal(chooseConfFile(files)?.name, "20-b.conflist");
  assert.equal(chooseConfFile([]), undefined);
});

test("our entry becomes the last of the chain, once", () => {
  const once = insertPlugin({ name: "10-a.conflist", text: LIST }, SETTINGS);
  assert.ok(once.ok);
  assert.deepEqual(
    plugins(once.value.text).map((p) => p.type),
    ["bridge", "ambit-cni"],
  );
  const twice = insertPlugin(once.value, SETTINGS);
  assert.ok(twice.ok && twice.value === once.value, "an unchanged file is not rewritten");
});

test("a chain that another writer extended behind us gets our entry last again", () => {
  const text = JSON.stringify({
    name: "x",
    plugins: [{ type: "bridge" }, { type: "ambit-cni", agentSocket: "/old" }, { type: "tuning" }],
  });
  const result = insertPlugin({ name: "a.conflist", text }, SETTINGS);
  assert.ok(result.ok);
  assert.deepEqual(
    plugins(result.value.text).map((p) => p.type),
    ["bridge", "tuning", "ambit-cni"],
  );
});

test("a single-plugin file becomes a list under a new name", () => {
  const text = JSON.stringify({ cniVersion: "0.4.0", name: "net", type: "ptp", mtu: 1400 });
  const result = insertPlugin({ name: "10-net.conf", text }, SETTINGS);
  assert.ok(result.ok);
  assert.equal(result.value.name, "10-net.conflist");
  assert.deepEqual(JSON.parse(result.value.text), {
    cniVersion: "0.4.0",
    name: "net",
    plugins: [
      { type: "ptp", mtu: 1400 },
      { type: "ambit-cni", agentSocket: SETTINGS.agentSocket },
    ],
  });
});

test("removal takes out only our entry and keeps every other field", () => {
  const inserted = insertPlugin({ name: "10-a.conflist", text: LIST }, SETTINGS);
  assert.ok(inserted.ok && hasPlugin(inserted.value));
  const removed = removePlugin(inserted.value);
  assert.ok(removed.ok && !hasPlugin(removed.value));
  assert.deepEqual(JSON.parse(removed.value.text), JSON.parse(LIST));
});

for (const text of ["", "[]", "3", '{"plugins":[]}', '{"plugins":[1]}', '{"plugins":"x"}']) {
  test(`is refused with the file's name: ${text}`, () => {
    const result = insertPlugin({ name: "10-x.conflist", text }, SETTINGS);
    assert.ok(!result.ok);
    assert.match(result.problems[0]?.path ?? "", /^10-x\.conflist/);
  });
}

test("arbitrary content never throws", () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.string(), fc.json()),
      (text) => void insertPlugin({ name: "a.conflist", text }, SETTINGS),
    ),
  );
});
