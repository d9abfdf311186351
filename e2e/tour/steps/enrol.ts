/** Step 2: one label, and new connections are TLS 1.3 under the pods' own identities; nothing restarts, nothing fails. */
import { eventually } from "../../framework/eventually.ts";
import { TLS_1_3 } from "../../framework/tls-hello.ts";
import type { WireConnection } from "../../framework/wire.ts";
import { ambit } from "../ambit-cli.ts";
import { annotated } from "../annotated.ts";
import { jsonObject, jsonText } from "#core/k8s/json-read.ts";
import { StepFailed, type Tour, type TourPod } from "../tour.ts";

export async function enrolNamespace(tour: Tour): Promise<void> {
  const { kubectl, wire } = tour.parts;
  const frontend = await tour.pod("shop", "app=frontend");
  const catalog = await tour.pod("shop", "app=catalog");
  const before = await tour.loadStats();
  await kubectl.labelNamespace("shop", "istio.io/dataplane-mode", "ambient");
  await eventually("both pods are annotated as captured", () =>
    annotated(tour, ["app=frontend", "app=catalog"], true),
  );
  await eventually("peers speak HBONE", () =>
    newTunnels(tour, [frontend, catalog]).length > 0 ? true : undefined,
  );
  const since = { ms: performance.now(), stats: await tour.loadStats() };
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  await wire.settle();
  const again = [await tour.pod("shop", "app=frontend"), await tour.pod("shop", "app=catalog")];
  const lives = (pods: readonly TourPod[]): string => pods.map((pod) => `${pod.uid} ${pod.restarts}`).join();
  tour.check(lives(again) === lives([frontend, catalog]), "no pod and no container was restarted");
  const after = await tour.checkLoad(before);
  showConnections(tour, [frontend, catalog], {
    ms: since.ms,
    opened: after.fresh.tried - since.stats.fresh.tried,
  });
  await showOlderConnections(tour);
  await showClientAddress(tour, frontend);
  await showIdentity(tour, catalog);
}

function between(tour: Tour, pods: readonly TourPod[]): readonly WireConnection[] {
  const ips = new Set(pods.flatMap((pod) => pod.ips));
  return tour.parts.wire.connections().filter((c) => ips.has(c.clientIp) && ips.has(c.serverIp));
}

function newTunnels(tour: Tour, pods: readonly TourPod[]): readonly WireConnection[] {
  return between(tour, pods).filter((c) => c.serverPort === 15_008);
}

function showConnections(
  tour: Tour,
  pods: readonly TourPod[],
  since: { readonly ms: number; readonly opened: number },
): void {
  const wrong = between(tour, pods).filter((c) => (c.openedMs ?? 0) >= since.ms && c.serverPort !== 15_008);
  tour.check(
    wrong.length === 0 && since.opened > 0,
    `the frontend opened ${since.opened} connections to the catalog since then, none of them on the link but in a tunnel`,
  );
  const tunnels = newTunnels(tour, pods);
  const versions = tunnels.map((c) => (c.hello.kind === "server-hello" ? c.hello.version : c.hello.kind));
  tour.show(
    tunnels
      .map(
        (c) =>
          `${c.client} -> ${c.server}: ${c.hello.kind === "server-hello" ? `ServerHello supported_versions 0x${c.hello.version.toString(16).padStart(4, "0")}` : c.hello.kind}`,
      )
      .join("\n"),
  );
  tour.check(
    tunnels.length > 0 && versions.every((v) => v === TLS_1_3),
    `${tunnels.length} tunnels on the link, each TLS 1.3 by its ServerHello`,
  );
}

async function showOlderConnections(tour: Tour): Promise<void> {
  const table = await ambit(tour, ["ztunnel-config", "connections"]);
  const older = table.split("\n").filter((line) => line.includes("pre-enrolment"));
  tour.show(table.split("\n").slice(0, 1).concat(older).join("\n"));
  tour.check(
    older.length > 0,
    `${older.length} ends of connections older than the label are listed as pre-enrolment`,
  );
}

async function showClientAddress(tour: Tour, frontend: TourPod): Promise<void> {
  const body = await tour.run(
    frontend,
    'console.log(await (await fetch("http://catalog:8080/items")).text())',
  );
  const client = jsonText(jsonObject(JSON.parse(body))["client"]).replace("::ffff:", "");
  tour.check(frontend.ips.includes(client), `the catalog sees the client's true address: ${client}`);
}

async function showIdentity(tour: Tour, catalog: TourPod): Promise<void> {
  const ztunnels = await tour.pods("istio-system", "app=ztunnel");
  const near = ztunnels.find((pod) => pod.node !== catalog.node);
  const far = ztunnels.find((pod) => pod.node === catalog.node);
  if (near === undefined || far === undefined) throw new StepFailed("there is no ztunnel on each node");
  const target = `${catalog.ips[0]}:15008`;
  const command = ["/usr/bin/env", "IDENTITY=spiffe://cluster.local/ns/shop/sa/frontend", `TARGET=${target}`];
  const printed = await tour.exec(near, [
    ...command,
    "/opt/ambit/node/bin/node",
    "/opt/ambit/lib/identity-probe.mjs",
  ]);
  const peer = JSON.parse(printed) as {
    readonly protocol: string;
    readonly uri: readonly string[];
    readonly serial: string;
  };
  tour.show(
    `dialled ${target} as frontend: ${peer.protocol}, the peer is ${peer.uri.join()} (serial ${peer.serial})`,
  );
  tour.check(
    peer.uri.join() === "spiffe://cluster.local/ns/shop/sa/catalog",
    "the certificate on 15008 is the catalog's own",
  );
  await showSerials(tour, { near, far, serial: peer.serial });
}

/** The serial on the wire is the one in the dump and in the log; the caller's in the log is that of its own ztunnel's dump. */
async function showSerials(
  tour: Tour,
  seen: { readonly near: TourPod; readonly far: TourPod; readonly serial: string },
): Promise<void> {
  const dumped = await serialsOf(tour, seen.far.node, "catalog");
  tour.check(dumped.includes(seen.serial), "its serial is the one in the ztunnel's config_dump");
  const lines = (await tour.logLines(seen.far)).filter(
    (line) => line["scope"] === "access" && line["dst.cert_serial"] === seen.serial,
  );
  const line = lines.findLast((l) => l["src.identity"] === "spiffe://cluster.local/ns/shop/sa/frontend");
  const source = jsonText(line?.["src.cert_serial"]);
  tour.show(`access log: src.identity ${jsonText(line?.["src.identity"])} src.cert_serial ${source}`);
  tour.check(line !== undefined, `and in ${lines.length} lines of the access log (dst.cert_serial)`);
  const callers = await serialsOf(tour, seen.near.node, "frontend");
  tour.check(callers.includes(source), "src.cert_serial there is the frontend's, as its own ztunnel has it");
}

/** Serial numbers of an account's own certificates, as the ztunnel of the node has them. */
async function serialsOf(tour: Tour, node: string, account: string): Promise<readonly string[]> {
  const table = await ambit(tour, ["ztunnel-config", "certificate", "--node", node]);
  const leaf = new RegExp(`/sa/${account} +Leaf +\\S+ +\\S+ +([0-9a-f]+) `);
  return table.split("\n").flatMap((row) => leaf.exec(row)?.[1] ?? []);
}
