/** Composition of the embedded Kubernetes API server: storage, REST, authentication, controllers and the TLS front. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "#core/base/clock.ts";
import { makeAdmission } from "./admission/admission-chain.ts";
import type { ApiServerOptions, RunningApiServer } from "./apiserver-options.ts";
import { AccountTokens } from "./auth/account-tokens.ts";
import { issueLeaf } from "./auth/certificate.ts";
import { kubeconfigText, loadPki, type Pki } from "./auth/pki.ts";
import { Rbac } from "./auth/rbac.ts";
import { bootstrap, firstServiceAddress, publishApi, untilFurnished } from "./bootstrap.ts";
import { startControllers } from "./controllers/start-controllers.ts";
import { HttpsFront } from "./http/https-front.ts";
import { crdResources } from "./registry/crd-resources.ts";
import { ResourceRegistry } from "./registry/resource-registry.ts";
import type { RestDeps } from "./rest/context.ts";
import { ObjectStore } from "./store/object-store.ts";
import { PageSnapshots } from "./store/page-snapshots.ts";
import { SqliteFile } from "./store/sqlite-file.ts";

export type {
  ApiServerOptions,
  KubeletConnector,
  ListenAddress,
  RunningApiServer,
} from "./apiserver-options.ts";

const CRDS = "customresourcedefinitions.apiextensions.k8s.io";
const NAMES = [
  "localhost",
  "kubernetes",
  "kubernetes.default",
  "kubernetes.default.svc",
  "kubernetes.default.svc.cluster.local",
  "127.0.0.1",
  "::1",
];

/** Starts the server; resolves when it answers on every address and its first controllers have run. */
export async function startApiServer(options: ApiServerOptions): Promise<RunningApiServer> {
  mkdirSync(options.dataDir, { recursive: true, mode: 0o700 });
  const nowMs = systemClock.nowMs();
  const pki = loadPki(join(options.dataDir, "pki"), servingNames(options), nowMs);
  const deps = makeDeps(options, pki);
  await bootstrap(deps);
  let port = 0;
  const host = options.listen[0]?.host ?? "127.0.0.1";
  const server = (): string => `https://${host.includes(":") ? `[${host}]` : host}:${port}`;
  const front = new HttpsFront({
    deps,
    serving: pki.serving,
    caPem: pki.authority.certificatePem,
    kubelets: options.kubelets,
    address: server,
  });
  for (const address of options.listen) {
    const bound = await front.listen({ host: address.host, port: address.port === 0 ? port : address.port });
    if (port === 0) port = bound;
  }
  for (const fd of options.listenFds ?? []) await front.listenFd(fd);
  const stopControllers = startControllers(deps, pki.authority.certificatePem, options.controllers ?? "all");
  const publish = (endpoints: ApiServerOptions["endpoints"]): Promise<void> =>
    publishApi(deps, options.serviceCidr, endpoints ?? []);
  await publish(options.endpoints);
  await untilFurnished(deps);
  options.log.info({ port, objects: deps.store.resources().length }, "api server is listening");
  return {
    port,
    caPem: pki.authority.certificatePem,
    adminKubeconfig: kubeconfigText(server(), pki.authority.certificatePem, pki.admin),
    issueClientKubeconfig: (user, groups, address) => {
      const client = issueLeaf(pki.authority, {
        commonName: user,
        organizations: groups,
        usage: "client",
        hosts: [],
        nowMs: systemClock.nowMs(),
      });
      return kubeconfigText(address ?? server(), pki.authority.certificatePem, client);
    },
    serveFd: (fd) => front.listenFd(fd),
    setEndpoints: publish,
    close: async () => {
      stopControllers();
      await front.close();
      deps.store.close();
    },
  };
}

function servingNames(options: ApiServerOptions): string[] {
  const hosts = options.listen
    .map((address) => address.host)
    .filter((host) => host !== "0.0.0.0" && host !== "::");
  return [...new Set([...NAMES, firstServiceAddress(options.serviceCidr), ...hosts, ...options.advertise])];
}

/** Everything below the HTTP front; kinds of stored CRDs are served from the first request on. */
export function makeDeps(
  options: Pick<ApiServerOptions, "dataDir" | "serviceCidr" | "serviceCidrV6" | "log">,
  pki: Pki,
): RestDeps {
  const store = new ObjectStore({ file: new SqliteFile(join(options.dataDir, "objects.sqlite")) });
  const registry = new ResourceRegistry();
  for (const crd of store.list(CRDS)) registry.setCustom(crd.metadata.name, crdResources(crd));
  store.subscribe(CRDS, (event) => {
    registry.setCustom(
      event.current.object.metadata.name,
      event.type === "DELETED" ? [] : crdResources(event.current.object),
    );
  });
  const rbac = new Rbac(store);
  return {
    store,
    registry,
    rbac,
    pages: new PageSnapshots(() => systemClock.nowMs()),
    admission: makeAdmission({ store, registry, rbac }),
    tokens: new AccountTokens(pki.tokenKey, store, systemClock),
    strategy: { store, serviceCidr: options.serviceCidr, serviceCidrV6: options.serviceCidrV6 },
    clock: systemClock,
    log: options.log,
  };
}
