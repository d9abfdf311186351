import assert from "node:assert/strict";
import { test } from "node:test";
import { createLog, type LogControl } from "./log.ts";

interface Scene {
  readonly control: LogControl;
  readonly lines: Readonly<Record<string, unknown>>[];
}

function scene(level: "info" | "silent" | "trace" = "info"): Scene {
  const lines: Readonly<Record<string, unknown>>[] = [];
  const write = (line: string): void =>
    void lines.push(JSON.parse(line) as Readonly<Record<string, unknown>>);
  return { control: createLog("root", { level, write }), lines };
}

test("a line is JSON with time, level, scope and message, then its fields", () => {
  const { control, lines } = scene();
  control.root.child("proxy", { node: "n1" }).warn({ error: "two\nlines" }, "not good");
  const [line = {}] = lines;
  assert.deepEqual(Object.keys(line), ["level", "ts", "scope", "node", "error", "msg"]);
  assert.deepEqual([line["level"], line["scope"], line["msg"]], ["warn", "proxy", "not good"]);
  assert.ok(Math.abs(Date.parse(String(line["ts"])) - Date.now()) < 60_000);
});

test("nothing below the level is written, and silent is silent", () => {
  const { control, lines } = scene();
  control.root.debug({}, "no");
  assert.equal(control.root.isEnabled("debug"), false);
  const silent = scene("silent");
  silent.control.root.error({}, "no");
  assert.equal(silent.control.root.isEnabled("error"), false);
  assert.deepEqual([...lines, ...silent.lines], []);
});

test("a level changes while it runs: one scope, or all, also for loggers made before and after", () => {
  const { control, lines } = scene();
  const before = control.root.child("xds", { peer: "a" });
  control.setLevel("debug", "xds");
  before.debug({}, "one");
  control.root.child("xds", { peer: "b" }).debug({}, "two");
  control.root.child("ca").debug({}, "not this");
  control.setLevel("error");
  before.warn({}, "nor this");
  control.root.child("new").warn({}, "nor this");
  assert.deepEqual(
    lines.map((line) => [line["peer"], line["msg"]]),
    [
      ["a", "one"],
      ["b", "two"],
    ],
  );
  assert.deepEqual(control.levels(), { root: "error", xds: "error", ca: "error", new: "error" });
});

test("loggers that come and go leave one entry per name, not one each", () => {
  const { control } = scene();
  for (let i = 0; i < 1_000; i++) control.root.child("xds", { stream: i });
  assert.deepEqual(Object.keys(control.levels()), ["root", "xds"]);
});

test("a line of ready text is like any other: its level and bindings count", () => {
  const { control, lines } = scene();
  const log = control.root.child("access", { node: "n1" });
  log.text("info", '"path":"/a\\n","code":200', 'said "so"');
  control.setLevel("warn", "access");
  log.text("info", '"no":1', "not this");
  log.text("warn", '"yes":1', "this");
  assert.deepEqual(Object.keys(lines[0] ?? {}), ["level", "ts", "scope", "node", "path", "code", "msg"]);
  assert.deepEqual(
    lines.map((line) => [line["level"], line["scope"], line["path"], line["msg"]]),
    [
      ["info", "access", "/a\n", 'said "so"'],
      ["warn", "access", undefined, "this"],
    ],
  );
});
