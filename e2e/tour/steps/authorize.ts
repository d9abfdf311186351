/** Step 3: an AuthorizationPolicy lets only the frontend's account reach the catalog; everyone else is refused and told why in the log. */
import { jsonText } from "#core/k8s/json-read.ts";
import { eventually } from "../../framework/eventually.ts";
import { ambit } from "../ambit-cli.ts";
import { StepFailed, type Tour, type TourPod } from "../tour.ts";

type Line = Readonly<Record<string, unknown>>;

export const CATALOG_POLICY = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: catalog, namespace: shop }
spec:
  selector: { matchLabels: { app: catalog } }
  action: ALLOW
  rules:
    - from: [{ source: { principals: ["cluster.local/ns/shop/sa/frontend"] } }]
      to: [{ operation: { ports: ["8080"] } }]
`;

/** A pod of the mesh under another account than the frontend's. */
const VISITOR = `
apiVersion: v1
kind: Pod
metadata: { name: visitor, namespace: shop, labels: { app: visitor } }
spec:
  serviceAccountName: default
  nodeSelector: { kubernetes.io/hostname: n1 }
  terminationGracePeriodSeconds: 1
  containers: [{ name: client, image: ambit/sample-client }]
`;

export async function authorizeCatalog(tour: Tour): Promise<void> {
  const { kubectl } = tour.parts;
  const control = await intruderCall(tour);
  tour.check(control === "200", "without a policy the intruder gets 200");
  const before = await tour.loadStats();
  const listed = await olderAtCatalog(tour);
  await kubectl.apply(CATALOG_POLICY);
  const ended = await olderEnded(tour);
  for (const line of ended.slice(0, 2)) tour.show(`agent log: ${JSON.stringify(line)}`);
  const ends = ended.map((line) => `${jsonText(line["local"])} ${jsonText(line["remote"])}`);
  tour.check(
    ends.every((end) => listed.includes(end)) && new Set(ends).size === ends.length,
    `${ended.length} of the ${listed.length} older connections that were listed are ended, one log line each`,
  );
  // A kept connection may be ended in the middle of a request; its next request opens a captured one.
  const since = await tour.checkLoad(before, { allowedFailures: ended.length });
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  await tour.checkLoad(since);
  const refused = await intruderCall(tour);
  tour.check(refused !== "200", `the intruder is refused: ${refused}`);
  const intruder = await tour.pod("street", "app=intruder");
  const [denied] = (await denialsOf(tour, intruder)).slice(-1);
  showDenial(tour, denied);
  tour.check(jsonText(denied?.["src.identity"]) === "", "it speaks plaintext and so has no identity");
  await kubectl.apply(VISITOR);
  await refuseVisitor(tour);
  await kubectl.delete(VISITOR, "pod visitor -n shop");
}

/** `local remote` of the catalog's ends of connections older than the label. */
async function olderAtCatalog(tour: Tour): Promise<readonly string[]> {
  const table = await ambit(tour, ["ztunnel-config", "connections", "--raw", "--direction", "inbound"]);
  const row = /^catalog-\S+ +Inbound +(\S+) +(\S+) .*pre-enrolment/;
  const ends = table.split("\n").flatMap((line) => {
    const [, local, remote] = row.exec(line) ?? [];
    return local === undefined || remote === undefined ? [] : [`${local} ${remote}`];
  });
  tour.check(ends.length > 0, `${ends.length} connections into the catalog are older than the label`);
  return ends;
}

/** Log lines of the agents about them, once none is left. */
async function olderEnded(tour: Tour): Promise<readonly Line[]> {
  const agents = await tour.pods("istio-system", "k8s-app=istio-cni-node");
  return eventually("connections older than the label are ended", async () => {
    const table = await ambit(tour, ["ztunnel-config", "connections"]);
    const lines = (await Promise.all(agents.map((pod) => tour.logLines(pod)))).flat();
    const old = lines.filter((line) => line["scope"] === "older-connections");
    return !table.includes("pre-enrolment") && old.length > 0 ? old : undefined;
  });
}

const CALL =
  'try { console.log((await fetch("http://catalog.shop:8080/items")).status) } catch (e) { console.log(e.cause?.code ?? e.message) }';

/** HTTP status or error of a call from the namespace that is not in the mesh. */
export async function intruderCall(tour: Tour): Promise<string> {
  return (await tour.run(await tour.pod("street", "app=intruder"), CALL)).trim();
}

/** In the mesh, with an identity, and still refused. */
async function refuseVisitor(tour: Tour): Promise<void> {
  const { pod, answer } = await eventually("the visitor runs and calls", async () => {
    const visitor = await tour.pod("shop", "app=visitor");
    if (visitor.ips.length === 0) return undefined; // its lines are found by its addresses
    return { pod: visitor, answer: (await tour.run(visitor, CALL)).trim() };
  });
  tour.check(answer !== "200", `a pod of the mesh under another account is refused: ${answer}`);
  const lines = await eventually("the visitor's denial is logged", async () => {
    const found = await denialsOf(tour, pod);
    if (found.length === 0) throw new Error(`its own ztunnel says ${await lastWordAbout(tour, pod)}`);
    return found;
  });
  const [line] = lines;
  showDenial(tour, line);
  const identity = jsonText(line?.["src.identity"]);
  // A client that is slow to connect by IPv6 dials by IPv4 as well: each of the two has its line.
  const connections = new Set(lines.map((one) => one["src.addr"]));
  const ofVisitor = lines.filter(
    (one) => one["src.identity"] === "spiffe://cluster.local/ns/shop/sa/default",
  );
  tour.check(
    ofVisitor.length === lines.length && connections.size === lines.length,
    `one line a connection, and it names the caller: ${identity}`,
  );
}

/** Access lines of the catalog's ztunnel about connections from a pod. */
async function denialsOf(tour: Tour, caller: TourPod): Promise<readonly Line[]> {
  const catalog = await tour.pod("shop", "app=catalog");
  const ztunnel = (await tour.pods("istio-system", "app=ztunnel")).find((pod) => pod.node === catalog.node);
  if (ztunnel === undefined) throw new StepFailed("no ztunnel on the catalog's node");
  return (await tour.logLines(ztunnel)).filter(
    (line) =>
      line["scope"] === "access" &&
      line["error"] !== undefined &&
      caller.ips.some((ip) => jsonText(line["src.addr"]).includes(ip)),
  );
}

/** What the ztunnel of the pod's node has last said of its connections. */
async function lastWordAbout(tour: Tour, pod: TourPod): Promise<string> {
  const ztunnel = (await tour.pods("istio-system", "app=ztunnel")).find(({ node }) => node === pod.node);
  if (ztunnel === undefined) return "nothing";
  const lines = (await tour.logLines(ztunnel)).filter((line) =>
    pod.ips.some((ip) => jsonText(line["src.addr"]).includes(ip)),
  );
  return JSON.stringify(lines.at(-1));
}

function showDenial(tour: Tour, line: Line | undefined): void {
  tour.show(`ztunnel log: ${JSON.stringify(line)}`);
  const nearest = jsonText(line?.["nearest"]);
  tour.check(
    line?.["reason"] === "no-allow-matched" && nearest.startsWith("shop/catalog rule 0"),
    `the denial is a log line with its reason and the nearest miss: ${nearest}`,
  );
}
