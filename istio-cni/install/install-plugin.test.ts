/** The plugin stays in the chain, whoever rewrites the configuration. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { silentLogger } from "#core/runtime/log.ts";
import { shimBinary } from "../plugin/shim-binary.ts";
import { keepInstalled } from "./install-plugin.ts";

const FILE = "10-net.conflist";
const FOREIGN = { cniVersion: "1.0.0", name: "net", plugins: [{ type: "bridge", mtu: 1_400 }] };

interface Chain {
  readonly plugins: readonly { readonly type: string }[];
}

/** Answers when the directory has what is looked for; the watcher's turn comes by itself. */
async function until(look: () => boolean): Promise<void> {
  for (let turn = 0; turn < 2_000 && !look(); turn++) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.ok(look(), "not within 10 s");
}

test(
  "a configuration that another writes anew gets our entry back, and a removed program comes back with it",
  { skip: shimBinary(process.arch) === undefined && "no CNI plugin for this CPU" },
  async () => {
    const directory = mkdtempSync(join(tmpdir(), "ambit-cni-"));
    const options = {
      binDir: join(directory, "bin"),
      confDir: join(directory, "conf"),
      agentSocket: "/var/run/istio-cni/agent.sock",
    };
    const states: boolean[] = [];
    const stop = keepInstalled(options, silentLogger, (installed) => states.push(installed));
    const conf = join(options.confDir, FILE);
    const program = join(options.binDir, "ambit-cni");
    const types = (): readonly string[] => {
      try {
        return (JSON.parse(readFileSync(conf, "utf8")) as Chain).plugins.map((p) => p.type);
      } catch {
        return []; // not there, or half written by the other
      }
    };
    const inChain = (): boolean => types().join() === "bridge,ambit-cni";
    try {
      assert.deepEqual(states, [false], "no network configuration yet: it waits");
      writeFileSync(conf, JSON.stringify(FOREIGN));
      await until(inChain);
      assert.equal(statSync(program).mode & 0o777, 0o755);
      rmSync(program);
      writeFileSync(conf, JSON.stringify(FOREIGN));
      await until(() => inChain() && existsSync(program));
      assert.deepEqual(readFileSync(program), shimBinary(process.arch));
      assert.equal(states.at(-1), true);
    } finally {
      stop();
      rmSync(directory, { recursive: true, force: true });
    }
  },
);
