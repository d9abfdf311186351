/** One conformance suite for the compiled plugin and its TypeScript oracle. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { sourceHash } from "#tools/compile-static.ts";
import { CNI_ERROR, type CniError, SUPPORTED_VERSIONS } from "./protocol.ts";
import { SHIM_SOURCE_SHA256 } from "./shim.gen.ts";
import { shimBinary } from "./shim-binary.ts";

interface Outcome {
  readonly exitCode: number;
  readonly stdout: string;
}

let folder = "";

before(() => {
  folder = mkdtempSync(join(tmpdir(), "ambit-plugin-"));
  writeFileSync(join(folder, "ambit-cni"), shimBinary(process.arch) ?? "", { mode: 0o755 });
});
after(() => rmSync(folder, { recursive: true }));

test("the compiled plugin belongs to its source", () => {
  assert.equal(SHIM_SOURCE_SHA256, sourceHash([join(import.meta.dirname, "shim.c")]));
});

for (const variant of ["shim", "oracle"] as const) {
  describe(variant, { skip: variant === "shim" && shimBinary(process.arch) === undefined }, () => {
    const run = (env: Record<string, string>, input: string | Buffer): Promise<Outcome> =>
      variant === "shim"
        ? execute(join(folder, "ambit-cni"), [], env, input)
        : execute(process.execPath, [join(import.meta.dirname, "plugin.ts")], env, input);

    const config = (socket: string): string =>
      JSON.stringify({
        cniVersion: "1.1.0",
        name: "pods",
        type: "ambit-cni",
        agentSocket: socket,
        prevResult: {},
      });

    test("VERSION is answered without an agent", async () => {
      const { exitCode, stdout } = await run({ CNI_COMMAND: "VERSION" }, "");
      assert.equal(exitCode, 0);
      assert.deepEqual(JSON.parse(stdout), { cniVersion: "1.1.0", supportedVersions: SUPPORTED_VERSIONS });
    });

    for (const [command, code] of [
      ["ADD", CNI_ERROR.tryLater],
      ["CHECK", CNI_ERROR.tryLater],
      ["GC", CNI_ERROR.tryLater],
      ["STATUS", CNI_ERROR.notAvailable],
    ] as const) {
      test(`${command} fails while the agent is down`, async () => {
        const outcome = await run({ CNI_COMMAND: command }, config(join(folder, "nobody.sock")));
        const error = JSON.parse(outcome.stdout) as CniError;
        assert.equal(outcome.exitCode, 1);
        assert.equal(error.code, code);
        assert.equal(error.cniVersion, "1.1.0");
        assert.match(error.msg, /istio-cni-node/);
      });
    }

    test("DEL succeeds while the agent is down, so that no pod is stuck", async () => {
      const outcome = await run({ CNI_COMMAND: "DEL" }, config(join(folder, "nobody.sock")));
      assert.deepEqual(outcome, { exitCode: 0, stdout: "" });
    });

    test("an unknown command is refused", async () => {
      const outcome = await run({ CNI_COMMAND: "ADDD" }, "{}");
      assert.equal((JSON.parse(outcome.stdout) as CniError).code, CNI_ERROR.invalidEnvironment);
    });

    test("input over the limit is refused before anything is sent", async () => {
      const outcome = await run({ CNI_COMMAND: "ADD" }, Buffer.alloc(1_200_000, " "));
      assert.equal((JSON.parse(outcome.stdout) as CniError).code, CNI_ERROR.undecodableInput);
    });

    test("an environment over the limit is refused", async () => {
      await withAgent(ignore, async (socket) => {
        const env = { CNI_COMMAND: "ADD", CNI_ARGS: "x".repeat(20_000) };
        const outcome = await run(env, config(socket));
        assert.equal((JSON.parse(outcome.stdout) as CniError).code, CNI_ERROR.invalidEnvironment);
      });
    });

    test("forwards environment and 300 KB of input unchanged and prints the body", async () => {
      const input = `${config("SOCKET").slice(0, -1)},"pad":"${"p".repeat(300_000)}"}`;
      const seen = Promise.withResolvers<string>();
      await withAgent(answerWith(seen, "200 OK", '{"cniVersion":"1.1.0"}'), async (socket) => {
        const env = {
          CNI_COMMAND: "ADD",
          CNI_CONTAINERID: "c1",
          CNI_NETNS: "/run/netns/a\nX: y",
          CNI_IFNAME: "eth0",
        };
        const body = input.replace("SOCKET", socket);
        const outcome = await run(env, body);
        assert.deepEqual(outcome, { exitCode: 0, stdout: '{"cniVersion":"1.1.0"}' });
        const [head = "", received] = (await seen.promise).split("\r\n\r\n");
        assert.equal(received, body);
        assert.match(head, /^POST \/cni HTTP\/1\.0\r\n/);
        assert.match(head, /\r\nCNI-CONTAINERID: c1(\r\n|$)/);
        assert.match(
          head,
          /\r\nCNI-NETNS: \/run\/netns\/aX: y(\r\n|$)/,
          "control characters cannot make headers",
        );
      });
    });

    test("a refusal is printed and is exit 1", async () => {
      const refusal = '{"cniVersion":"1.0.0","code":100,"msg":"no"}';
      await withAgent(answerWith(Promise.withResolvers<string>(), "500 No", refusal), async (socket) => {
        assert.deepEqual(await run({ CNI_COMMAND: "ADD" }, config(socket)), { exitCode: 1, stdout: refusal });
      });
    });

    for (const [name, reply] of [
      ["no reply", ""],
      ["half a reply", "HTTP/1.0 200 OK\r\nContent-Le"],
      ["something else", "hello"],
    ] as const) {
      test(`${name} from the agent fails ADD and passes DEL`, async () => {
        const agent = (socket: Socket): void => void socket.once("data", () => socket.end(reply));
        await withAgent(agent, async (socket) => {
          const outcome = await run({ CNI_COMMAND: "ADD" }, config(socket));
          assert.equal((JSON.parse(outcome.stdout) as CniError).code, CNI_ERROR.tryLater);
          assert.equal((await run({ CNI_COMMAND: "DEL" }, config(socket))).exitCode, 0);
        });
      });
    }

    for (const input of [
      "",
      "{",
      '{"agentSocket":"',
      '{"agentSocket":5}',
      `{"cniVersion":"${"9".repeat(40)}"}`,
      "\u0000\u0001",
    ]) {
      test(`odd input ${JSON.stringify(input.slice(0, 20))} gives CNI error JSON`, async () => {
        const outcome = await run({ CNI_COMMAND: "ADDD" }, input);
        assert.equal((JSON.parse(outcome.stdout) as CniError).cniVersion, "1.0.0");
      });
    }
  });
}

function ignore(): void {
  // An agent that never answers.
}

function answerWith(
  seen: PromiseWithResolvers<string>,
  status: string,
  body: string,
): (socket: Socket) => void {
  return (socket) => {
    let text = "";
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
      const [head = "", received = ""] = text.split("\r\n\r\n");
      const length = Number(/Content-Length: (\d+)/.exec(head)?.[1]);
      if (received.length < length) return;
      seen.resolve(text);
      socket.end(`HTTP/1.0 ${status}\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    });
  };
}

async function withAgent(
  onConnection: (socket: Socket) => void,
  work: (path: string) => Promise<void>,
): Promise<void> {
  const path = join(folder, `agent-${Math.random().toString(36).slice(2)}.sock`);
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => sockets.delete(socket));
    onConnection(socket);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  try {
    await work(path);
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
}

function execute(
  file: string,
  args: readonly string[],
  env: Record<string, string>,
  input: string | Buffer,
): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { env, stdio: ["pipe", "pipe", "inherit"], timeout: 20_000 });
    let stdout = "";
    child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString("latin1")));
    child.stdin.on("error", () => undefined);
    child.stdin.end(input);
    child.on("error", reject);
    child.on("close", (code) => resolve({ exitCode: code ?? -1, stdout }));
  });
}
