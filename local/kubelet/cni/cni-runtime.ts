/**
 * The runtime side of CNI 1.0, as libcni does it: each plugin of the list gets the previous one's result; ADD results are cached and
 * given to CHECK and DEL; DEL runs in reverse. Plugins run in the network namespace of the caller, which must be the node's.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AmbitError } from "#core/runtime/errors.ts";
import { type Conflist, isObject, type JsonObject, type PluginConf, pluginInput } from "./conflist.ts";

export interface Attachment {
  readonly containerId: string;
  readonly ifName: string;
  /** Empty when the namespace is already gone (DEL only). */
  readonly netns: string;
  /** `K8S_POD_NAME` and the like. */
  readonly args: Readonly<Record<string, string>>;
  readonly capabilityArgs: JsonObject;
}

export interface CniRuntimeOptions {
  /** Searched in order, as CNI_PATH. */
  readonly pluginDirectories: readonly string[];
  readonly cacheDirectory: string;
  /** Milliseconds one plugin may take. */
  readonly timeoutMs: number;
  /** Throws when a plugin must not be run now: the guard against the machine's own network namespace. */
  readonly assertNamespace: () => void;
}

type Verb = "ADD" | "CHECK" | "DEL";
export const CNI_FAILED = "CNI_FAILED";
const MAX_OUTPUT = 1024 * 1024;

export class CniRuntime {
  readonly #options: CniRuntimeOptions;

  constructor(options: CniRuntimeOptions) {
    this.#options = options;
  }

  /** The last plugin's result. Fails with CNI_FAILED and containerd's sentence; the caller then runs `del`. */
  async add(list: Conflist, attachment: Attachment): Promise<JsonObject> {
    let prevResult: unknown;
    for (const plugin of list.plugins)
      prevResult = await this.#run("ADD", { list, plugin, attachment, prevResult });
    if (!isObject(prevResult)) throw failure("ADD", list.plugins.at(-1)?.type ?? "", "gave no result");
    this.#store(list, attachment, prevResult);
    return prevResult;
  }

  async check(list: Conflist, attachment: Attachment): Promise<void> {
    if (list.disableCheck) return;
    const prevResult = this.#cached(list, attachment);
    if (prevResult === undefined) throw new AmbitError(CNI_FAILED, "no cached result to check against");
    for (const plugin of list.plugins) await this.#run("CHECK", { list, plugin, attachment, prevResult });
  }

  async del(list: Conflist, attachment: Attachment): Promise<void> {
    const prevResult = this.#cached(list, attachment);
    for (const plugin of list.plugins.toReversed())
      await this.#run("DEL", { list, plugin, attachment, prevResult });
    rmSync(this.#cacheFile(list, attachment), { force: true });
  }

  async #run(verb: Verb, call: PluginCall): Promise<unknown> {
    this.#options.assertNamespace();
    const { plugin, attachment } = call;
    const input = pluginInput(call.list, plugin, {
      prevResult: call.prevResult,
      capabilityArgs: attachment.capabilityArgs,
    });
    const path = this.#find(plugin.type, verb);
    const result = await runPlugin(
      path,
      this.#environment(verb, attachment),
      JSON.stringify(input),
      this.#options.timeoutMs,
    );
    return readOutcome(verb, plugin.type, result);
  }

  #environment(verb: Verb, attachment: Attachment): Record<string, string> {
    const args = Object.entries(attachment.args).map(([key, value]) => `${key}=${value}`);
    return {
      PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      CNI_COMMAND: verb,
      CNI_CONTAINERID: attachment.containerId,
      CNI_IFNAME: attachment.ifName,
      CNI_NETNS: attachment.netns,
      CNI_ARGS: args.join(";"),
      CNI_PATH: this.#options.pluginDirectories.join(":"),
    };
  }

  #find(type: string, verb: Verb): string {
    const path = this.#options.pluginDirectories
      .map((directory) => join(directory, type))
      .find((file) => existsSync(file));
    if (path === undefined)
      throw failure(
        verb,
        type,
        `failed to find plugin "${type}" in path [${this.#options.pluginDirectories.join(" ")}]`,
      );
    return path;
  }

  #cacheFile(list: Conflist, attachment: Attachment): string {
    return join(this.#options.cacheDirectory, `${list.name}-${attachment.containerId}-${attachment.ifName}`);
  }

  #cached(list: Conflist, attachment: Attachment): unknown {
    try {
      return (JSON.parse(readFileSync(this.#cacheFile(list, attachment), "utf8")) as JsonObject)["result"];
    } catch {
      return undefined;
    }
  }

  #store(list: Conflist, attachment: Attachment, result: JsonObject): void {
    mkdirSync(this.#options.cacheDirectory, { recursive: true, mode: 0o700 });
    const file = this.#cacheFile(list, attachment);
    const { containerId, ifName, netns } = attachment;
    const config = Buffer.from(list.source).toString("base64");
    writeFileSync(
      `${file}.tmp`,
      JSON.stringify({
        kind: "cniCacheV1",
        containerId,
        ifName,
        netns,
        networkName: list.name,
        config,
        result,
      }),
    );
    renameSync(`${file}.tmp`, file);
  }
}

interface PluginCall {
  readonly list: Conflist;
  readonly plugin: PluginConf;
  readonly attachment: Attachment;
  readonly prevResult: unknown;
}

interface PluginResult {
  readonly stdout: string;
  readonly stderr: string;
  /** Exit status, or what happened instead. */
  readonly end: number | string;
}

function runPlugin(
  path: string,
  env: Record<string, string>,
  input: string,
  timeoutMs: number,
): Promise<PluginResult> {
  return new Promise((resolve) => {
    const child = spawn(path, [], {
      env,
      cwd: "/",
      stdio: "pipe",
      timeout: timeoutMs,
      killSignal: "SIGKILL",
    });
    const output = { stdout: "", stderr: "" };
    child.stdout.on(
      "data",
      (chunk: Buffer) => (output.stdout = (output.stdout + chunk.toString()).slice(0, MAX_OUTPUT)),
    );
    child.stderr.on(
      "data",
      (chunk: Buffer) => (output.stderr = (output.stderr + chunk.toString()).slice(0, MAX_OUTPUT)),
    );
    child.on("error", (error) => resolve({ ...output, end: error.message }));
    child.on("close", (code, signal) => resolve({ ...output, end: code ?? `signal ${signal ?? "unknown"}` }));
    child.stdin.on("error", () => undefined);
    child.stdin.end(input);
  });
}

/** The three ways in which a plugin can fail read as they do in a real cluster's events. */
function readOutcome(verb: Verb, type: string, { stdout, stderr, end }: PluginResult): unknown {
  const json = parseJson(stdout);
  if (end !== 0) {
    if (isObject(json) && typeof json["msg"] === "string") {
      const details =
        typeof json["details"] === "string" && json["details"] !== "" ? `; ${json["details"]}` : "";
      throw failure(verb, type, `${json["msg"]}${details}`);
    }
    const text = stderr.trim() || stdout.trim();
    const status = typeof end === "number" ? `exit status ${end}` : end;
    throw failure(
      verb,
      type,
      text === "" ? `netplugin failed with no error message: ${status}` : `netplugin failed: "${text}"`,
    );
  }
  if (verb !== "ADD") return undefined;
  if (json === undefined) throw failure(verb, type, "failed to unmarshal raw result");
  return json;
}

function failure(verb: Verb, type: string, what: string): AmbitError {
  const verbs = { ADD: "add", CHECK: "check", DEL: "delete" };
  return new AmbitError(CNI_FAILED, `plugin type="${type}" failed (${verbs[verb]}): ${what}`);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
