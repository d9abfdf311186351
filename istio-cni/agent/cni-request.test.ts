import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Headers, parseCniRequest } from "./cni-request.ts";

const ADD: Headers = {
  "cni-command": "ADD",
  "cni-containerid": "c1",
  "cni-netns": "/var/run/netns/a",
  "cni-ifname": "eth0",
  "cni-args": "K8S_POD_UID=u-1;IgnoreUnknown=1;K8S_POD_NAME=web-0;K8S_POD_NAMESPACE=shop",
};
const CONFIG = JSON.stringify({
  cniVersion: "1.0.0",
  prevResult: { ips: [{ address: "10.244.1.5/24" }, { address: "fd10::5/64" }, { address: 3 }, "x"] },
});

test("reads the pod from CNI_ARGS in any order and the addresses from prevResult", () => {
  const result = parseCniRequest(ADD, CONFIG);
  assert.ok(result.ok);
  assert.deepEqual(result.value.pod, { uid: "u-1", name: "web-0", namespace: "shop" });
  assert.deepEqual(result.value.ips, ["10.244.1.5", "fd10::5"]);
});

const BAD: readonly (readonly [string, Headers, string, RegExp])[] = [
  ["an unknown verb", { ...ADD, "cni-command": "PATCH" }, CONFIG, /CNI_COMMAND/],
  ["a verb given twice", { ...ADD, "cni-command": ["ADD", "DEL"] }, CONFIG, /CNI_COMMAND/],
  ["no container", { ...ADD, "cni-containerid": "" }, CONFIG, /CNI_CONTAINERID/],
  ["a container id that is a path", { ...ADD, "cni-containerid": "../x" }, CONFIG, /CNI_CONTAINERID/],
  ["an interface name with a slash", { ...ADD, "cni-ifname": "a/b" }, CONFIG, /CNI_IFNAME/],
  ["a relative namespace path", { ...ADD, "cni-netns": "netns/a" }, CONFIG, /CNI_NETNS/],
  ["a configuration that is no JSON", ADD, "{", /configuration/],
  ["a configuration that is a list", ADD, "[]", /configuration/],
];
for (const [name, headers, body, expected] of BAD) {
  test(`is refused: ${name}`, () => {
    const result = parseCniRequest(headers, body);
    assert.ok(!result.ok);
    assert.match(result.problems[0]?.path ?? "", expected);
  });
}

for (const args of [
  "",
  "K8S_POD_NAME=a",
  "K8S_POD_UID=../..;K8S_POD_NAME=a;K8S_POD_NAMESPACE=b",
  ";;;===",
  "K8S_POD_UID",
]) {
  test(`no pod is read from ${JSON.stringify(args)}`, () => {
    const result = parseCniRequest({ ...ADD, "cni-args": args }, CONFIG);
    assert.ok(result.ok && result.value.pod === undefined);
  });
}

test("arbitrary input never throws", () => {
  const header = fc.oneof(fc.string(), fc.constantFrom("ADD", "DEL", "GC", "/x"));
  fc.assert(
    fc.property(
      fc.tuple(header, header, header, header, header),
      fc.oneof(fc.json(), fc.string()),
      ([a, b, c, d, e], body) => {
        parseCniRequest(
          { "cni-command": a, "cni-containerid": b, "cni-netns": c, "cni-ifname": d, "cni-args": e },
          body,
        );
      },
    ),
    { numRuns: 500 },
  );
});

test("GC reads the attachments that still exist", () => {
  const body = JSON.stringify({
    "cni.dev/valid-attachments": [{ containerID: "c1", ifname: "eth0" }, { containerID: 3 }],
  });
  const result = parseCniRequest({ "cni-command": "GC" }, body);
  assert.ok(result.ok);
  assert.deepEqual(result.value.validAttachments, ["c1/eth0"]);
});
