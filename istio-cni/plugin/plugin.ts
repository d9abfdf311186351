/**
 * The CNI plugin in TypeScript: what shim.c does, readable. It is the oracle of the shim's tests and the fallback on
 * other CPUs. Imports Node alone.
 */
import { readSync, writeSync } from "node:fs";
import { connect } from "node:net";
import {
  BODY_LIMIT_BYTES,
  CNI_ERROR,
  DEFAULT_AGENT_SOCKET,
  HEAD_LIMIT_BYTES,
  MESSAGES,
  SUPPORTED_VERSIONS,
  TIMEOUT_MS,
} from "./protocol.ts";

export interface PluginResult {
  readonly exitCode: 0 | 1;
  readonly stdout: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

const FORWARDED = new Set(["ADD", "DEL", "CHECK", "GC", "STATUS"]);

/** One invocation. `input` is standard input, undefined when it was larger than the limit. Never rejects. */
export async function runPlugin(env: Environment, input: Buffer | undefined): Promise<PluginResult> {
  const command = env["CNI_COMMAND"] ?? "";
  if (command === "VERSION") return ok({ cniVersion: "1.1.0", supportedVersions: SUPPORTED_VERSIONS });
  const text = input?.toString("latin1") ?? "";
  const fail = (code: number, message: string): PluginResult => failure(text, code, message);
  if (!FORWARDED.has(command)) return fail(CNI_ERROR.invalidEnvironment, MESSAGES.command);
  if (input === undefined) return fail(CNI_ERROR.undecodableInput, MESSAGES.inputTooLarge);
  const head = requestHead(env, input.length);
  if (head.length >= HEAD_LIMIT_BYTES)
    return fail(CNI_ERROR.invalidEnvironment, MESSAGES.environmentTooLarge);
  const path = member(text, "agentSocket", 107) || DEFAULT_AGENT_SOCKET;
  const answer = readReply(await exchange(path, Buffer.concat([Buffer.from(head, "latin1"), input])));
  if (typeof answer !== "string") return answer;
  if (command === "DEL") return { exitCode: 0, stdout: "" };
  return fail(command === "STATUS" ? CNI_ERROR.notAvailable : CNI_ERROR.tryLater, answer);
}

/** The agent's answer as a result, or the message that tells what is wrong with it. */
function readReply(answer: Buffer | string): PluginResult | string {
  if (typeof answer === "string") return answer;
  const end = answer.indexOf("\r\n\r\n");
  if (answer.length < 12 || end < 0) return MESSAGES.incomplete;
  const exitCode = answer.subarray(9, 12).toString("latin1") === "200" ? 0 : 1;
  return { exitCode, stdout: answer.subarray(end + 4).toString("latin1") };
}

function requestHead(env: Environment, length: number): string {
  const lines = Object.entries(env)
    .filter(([name]) => name.startsWith("CNI_"))
    .map(([name, value = ""]) => `CNI-${name.slice(4)}: ${printable(value)}\r\n`);
  const start = "POST /cni HTTP/1.0\r\nHost: ambit\r\nContent-Type: application/json\r\n";
  return `${start}Content-Length: ${length}\r\n${lines.join("")}\r\n`;
}

function printable(value: string): string {
  const bytes = [...Buffer.from(value)].filter((byte) => byte >= 32 && byte !== 127);
  return Buffer.from(bytes).toString("latin1");
}

/** The whole reply, or the message that tells why there is none. */
function exchange(path: string, request: Buffer): Promise<Buffer | string> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let connected = false;
    const socket = connect(path, () => {
      connected = true;
      socket.write(request);
    });
    const give = (outcome: Buffer | string): void => {
      socket.destroy();
      resolve(outcome);
    };
    socket.setTimeout(TIMEOUT_MS, () => give(MESSAGES.incomplete));
    socket.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      if (chunks.reduce((sum, c) => sum + c.length, 0) > BODY_LIMIT_BYTES) give(MESSAGES.incomplete);
    });
    socket.on("end", () => give(Buffer.concat(chunks)));
    socket.on("error", () => give(connected ? MESSAGES.closed : MESSAGES.unreachable));
  });
}

/** Same scan as the shim's: the first `"name":"text"` of compact JSON, without escapes; "" if absent. */
function member(text: string, name: string, limit: number): string {
  const found = new RegExp(`"${name}": *"([^"\\\\]{0,${limit}})"`).exec(text);
  return found?.[1] ?? "";
}

function failure(input: string, code: number, message: string): PluginResult {
  const version = member(input, "cniVersion", 16);
  const cniVersion = /^[0-9.]+$/.test(version) ? version : "1.0.0";
  return { exitCode: 1, stdout: `${JSON.stringify({ cniVersion, code, msg: `ambit-cni: ${message}` })}\n` };
}

function ok(body: unknown): PluginResult {
  return { exitCode: 0, stdout: `${JSON.stringify(body)}\n` };
}

function readInput(): Buffer | undefined {
  const buffer = Buffer.allocUnsafe(BODY_LIMIT_BYTES + 1);
  let used = 0;
  for (;;) {
    const n = readSync(0, buffer, used, buffer.length - used, null);
    if (n === 0) return buffer.subarray(0, used);
    used += n;
    if (used > BODY_LIMIT_BYTES) return undefined;
  }
}

if (import.meta.main) {
  const { env } = process; // CNI passes everything by environment, and the plugin imports nothing
  const result = await runPlugin(env, env["CNI_COMMAND"] === "VERSION" ? undefined : readInput());
  writeSync(1, Buffer.from(result.stdout, "latin1"));
  process.exitCode = result.exitCode;
}
