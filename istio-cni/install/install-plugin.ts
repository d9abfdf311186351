/**
 * Puts the CNI plugin where the container runtime finds it and keeps it there. Binary first, configuration second; on
 * removal the other way round, so that no chain ever names a missing program. Files appear by rename, whole or not.
 */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  watch,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describeProblems } from "#core/base/parse-result.ts";
import { AmbitError, describeError } from "#core/runtime/errors.ts";
import type { Logger } from "#core/runtime/log.ts";
import { PLUGIN_TYPE } from "../plugin/protocol.ts";
import { shimBinary } from "../plugin/shim-binary.ts";
import {
  chooseConfFile,
  type ConfFile,
  insertPlugin,
  type PluginSettings,
  removePlugin,
} from "./cni-conf.ts";

export interface InstallOptions extends PluginSettings {
  readonly binDir: string;
  readonly confDir: string;
}

export type InstallOutcome =
  | { readonly kind: "installed"; readonly file: string; readonly changed: boolean }
  /** No network configuration yet: the node's primary CNI has not been set up. */
  | { readonly kind: "waiting"; readonly message: string };

/** Writes the binary if it differs. Throws `CNI_ARCH` on other CPUs than x86-64 and arm64. */
export function installBinary(binDir: string): void {
  const binary = shimBinary(process.arch);
  if (binary === undefined) throw new AmbitError("CNI_ARCH", `there is no CNI plugin for ${process.arch}`);
  mkdirSync(binDir, { recursive: true });
  const path = join(binDir, PLUGIN_TYPE);
  if (existsSync(path) && readFileSync(path).equals(binary)) return;
  const temporary = join(binDir, `.${PLUGIN_TYPE}.tmp`);
  writeFileSync(temporary, binary);
  chmodSync(temporary, 0o755);
  renameSync(temporary, path);
}

/** Adds our entry to the node's network configuration. Throws `CNI_CONF` when that is not readable. */
export function installConf(options: InstallOptions): InstallOutcome {
  const chosen = chooseConfFile(readConfFiles(options.confDir));
  if (chosen === undefined) {
    return { kind: "waiting", message: `no CNI network configuration in ${options.confDir} yet` };
  }
  const edited = insertPlugin(chosen, options);
  if (!edited.ok) throw new AmbitError("CNI_CONF", describeProblems(edited.problems));
  const changed = edited.value !== chosen;
  if (changed) replaceConf(options.confDir, chosen, edited.value);
  return { kind: "installed", file: edited.value.name, changed };
}

/** Takes our entry out of every configuration and then removes the binary. */
export function uninstallPlugin(options: InstallOptions): void {
  for (const file of readConfFiles(options.confDir)) {
    const edited = removePlugin(file);
    if (edited.ok && edited.value !== file) replaceConf(options.confDir, file, edited.value);
  }
  rmSync(join(options.binDir, PLUGIN_TYPE), { force: true });
}

/** Keeps the entry in place when others rewrite the configuration. Returns the function that ends it. */
export function keepInstalled(
  options: InstallOptions,
  log: Logger,
  onInstalled: (installed: boolean) => void,
): () => void {
  mkdirSync(options.confDir, { recursive: true });
  const ensure = (): void => {
    try {
      installBinary(options.binDir);
      const outcome = installConf(options);
      onInstalled(outcome.kind === "installed");
      if (outcome.kind === "waiting")
        log.info({ reason: outcome.message }, "cni configuration not there yet");
      else if (outcome.changed) log.info({ file: outcome.file }, "cni plugin added to the chain");
    } catch (error) {
      onInstalled(false);
      log.error({ error: describeError(error) }, "cni plugin cannot be installed");
    }
  };
  ensure();
  const watcher = watch(options.confDir, { persistent: false }, ensure);
  watcher.on("error", (error) =>
    log.warn({ error: describeError(error) }, "cni configuration is not watched"),
  );
  const timer = setInterval(ensure, 30_000).unref(); // a watch can miss a directory that was replaced
  return () => {
    watcher.close();
    clearInterval(timer);
  };
}

function readConfFiles(confDir: string): readonly ConfFile[] {
  if (!existsSync(confDir)) return [];
  return readdirSync(confDir)
    .filter((name) => /\.conf(?:list)?$/.test(name))
    .map((name) => ({ name, text: readFileSync(join(confDir, name), "utf8") }));
}

function replaceConf(confDir: string, before: ConfFile, after: ConfFile): void {
  const temporary = join(confDir, `.${after.name}.ambit-tmp`);
  writeFileSync(temporary, after.text);
  chmodSync(temporary, statSync(join(confDir, before.name)).mode & 0o777);
  renameSync(temporary, join(confDir, after.name));
  if (before.name !== after.name) rmSync(join(confDir, before.name));
}
