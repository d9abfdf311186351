/**
 * The real kubectl when there is one, with the command shown. Without it the same change is made by an API call, and
 * the command that a user would type is shown all the same.
 */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import { NAMESPACE, kindPath } from "#core/k8s/kinds.ts";
import type { KubeClient } from "#core/k8s/kube-client.ts";
import { applyManifest, deleteManifest, parseManifests } from "#local/manifests.ts";

const run = promisify(execFile);

export class Kubectl {
  readonly #client: KubeClient;
  readonly #kubeconfig: string;
  readonly #binary: string | undefined;
  readonly #show: (line: string) => void;

  constructor(client: KubeClient, kubeconfig: string, show: (line: string) => void) {
    this.#client = client;
    this.#kubeconfig = kubeconfig;
    this.#show = show;
    this.#binary = findOnPath("kubectl");
  }

  /** Whether commands are run by kubectl itself. */
  get isReal(): boolean {
    return this.#binary !== undefined;
  }

  /** 20 of 1.20; 0 when there is none. */
  async minorVersion(): Promise<number> {
    if (this.#binary === undefined) return 0;
    const { stdout } = await run(this.#binary, ["version", "--client", "-o", "json"], { timeout: 30_000 });
    return Number(/"gitVersion":\s*"v\d+\.(\d+)/.exec(stdout)?.[1] ?? 0);
  }

  async labelNamespace(name: string, key: string, value: string | undefined): Promise<void> {
    const label = value === undefined ? `${key}-` : `${key}=${value}`;
    if (await this.#real(["label", "namespace", name, label, "--overwrite"])) return;
    const path = kindPath(NAMESPACE, { name });
    const body = { metadata: { labels: { [key]: value ?? null } } };
    await this.#client.json({ method: "PATCH", path, contentType: "application/merge-patch+json", body });
  }

  async apply(yaml: string): Promise<void> {
    this.#show(`$ kubectl apply -f - <<EOF\n${yaml.trim()}\nEOF`);
    if (await this.#real(["apply", "-f", "-"], { input: yaml, quiet: true })) return;
    for (const manifest of parseManifests(yaml, "tour")) await applyManifest(this.#client, manifest);
  }

  async delete(yaml: string, words: string): Promise<void> {
    this.#show(`$ kubectl delete ${words}`);
    if (await this.#real(["delete", "-f", "-", "--wait=false"], { input: yaml, quiet: true })) return;
    for (const manifest of parseManifests(yaml, "tour")) await deleteManifest(this.#client, manifest);
  }

  /** What kubectl prints; undefined when there is no kubectl. Rejects with its words when it fails. */
  async print(args: readonly string[], timeoutMs = 30_000): Promise<string | undefined> {
    this.#show(`$ kubectl ${args.join(" ")}`);
    return this.#output(args, { timeoutMs });
  }

  /** False when there is no kubectl. */
  async #real(
    args: readonly string[],
    options: { readonly input?: string; readonly quiet?: boolean } = {},
  ): Promise<boolean> {
    if (options.quiet !== true) this.#show(`$ kubectl ${args.join(" ")}`);
    return (await this.#output(args, options)) !== undefined;
  }

  async #output(
    args: readonly string[],
    { input = "", timeoutMs = 30_000 }: { readonly input?: string; readonly timeoutMs?: number },
  ): Promise<string | undefined> {
    if (this.#binary === undefined) return undefined;
    const child = run(this.#binary, [...args], {
      env: { ...process.env, KUBECONFIG: this.#kubeconfig },
      timeout: timeoutMs,
    });
    child.child.stdin?.end(input);
    const { stdout, stderr } = await child;
    return stdout + stderr;
  }
}

function findOnPath(program: string): string | undefined {
  return (process.env["PATH"] ?? "")
    .split(":")
    .map((directory) => join(directory, program))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}
