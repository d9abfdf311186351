/** Step 9: an HTTP policy makes a waypoint appear, under load and without a failure; then methods and paths are enforced. */
import { eventually } from "../../framework/eventually.ts";
import { ITEMS_POLICY } from "../../framework/l7-policies.ts";
import { AUTOMATIC, gatewaysOf, policyCondition, untilEnforced } from "../../framework/waypoints.ts";
import { ambit } from "../ambit-cli.ts";
import type { Tour, TourPod } from "../tour.ts";
import { checkDatabase, dbStats } from "./shop-db.ts";
import {
  accessLine,
  arrivalMark,
  askFrom,
  checkArrivals,
  showLine,
  told,
  waypointPod,
} from "./waypoint-evidence.ts";

/** Under the account that the older L4 policy refuses. */
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

export const ITEMS = "http://catalog.shop:8080/items";

export async function waypointOnDemand(tour: Tour): Promise<void> {
  const { kubectl } = tour.parts;
  await kubectl.apply(VISITOR);
  const [load, db] = [await tour.loadStats(), await dbStats(tour)];
  await kubectl.apply(ITEMS_POLICY);
  const took = await waitEnforced(tour, "items");
  tour.check(
    true,
    `Enforced after ${took.toFixed(1)} s: start of the waypoint, binding, drain of older connections, refusal`,
  );
  const mark = await arrivalMark(tour);
  const waypoint = await showWaypoint(tour);
  await enforcesRequests(tour, waypoint);
  await olderPolicyHolds(tour, waypoint);
  await tour.checkLoad(load, { mayRetry: true });
  await checkDatabase(tour, db);
  await checkArrivals(tour, { mark, waypoint });
}

/** As a user waits: with kubectl where there is one. Seconds since the call. */
export async function waitEnforced(tour: Tour, policy: string): Promise<number> {
  const { client, kubectl } = tour.parts;
  const began = performance.now();
  const words = [
    "-n",
    "shop",
    "wait",
    "--for=condition=Enforced",
    `authorizationpolicy/${policy}`,
    "--timeout=60s",
  ];
  const printed = await kubectl.print(words, 70_000);
  if (printed === undefined) await untilEnforced(client, "shop", policy);
  else tour.show(printed);
  return (performance.now() - began) / 1_000;
}

async function showWaypoint(tour: Tour): Promise<TourPod> {
  const { client, kubectl } = tour.parts;
  tour.show((await kubectl.print(["-n", "shop", "get", "gateways,pods"])) ?? "");
  const gateway = (await gatewaysOf(client, "shop")).find(({ name }) => name === AUTOMATIC);
  tour.check(
    gateway?.className === "istio-waypoint",
    `Gateway ${AUTOMATIC} of class istio-waypoint is there`,
  );
  const why = gateway?.conditions.find(({ message }) => /shop\/items/.test(message));
  tour.show(`condition ${why?.type}: ${why?.reason}: ${why?.message}`);
  tour.check(
    why !== undefined && /rules\[0\]\.to\[0\]\.operation\.(methods|paths)/.test(why.message),
    "a condition of it names the policy and the field that made it necessary",
  );
  const enforced = await policyCondition(client, { namespace: "shop", name: "items", type: "Enforced" });
  tour.show(`policy: Enforced ${enforced?.status}: ${enforced?.reason}: ${enforced?.message}`);
  tour.show(await ambit(tour, ["waypoint", "list", "-n", "shop"]));
  return waypointPod(tour);
}

async function enforcesRequests(tour: Tour, waypoint: TourPod): Promise<void> {
  const frontend = await tour.pod("shop", "app=frontend");
  const read = await askFrom(tour, frontend, { url: `${ITEMS}/1` });
  tour.check(read.status === 200, `frontend: GET /items/1 is ${read.status}`);
  const write = await askFrom(tour, frontend, { method: "POST", url: ITEMS });
  tour.check(
    write.status === 403 && write.body === "RBAC: access denied",
    `frontend: POST /items is ${told(write)}`,
  );
  const other = await askFrom(tour, frontend, { url: "http://catalog.shop:8080/" });
  tour.check(other.status === 403, `frontend: GET / is ${told(other)}`);
  const line = await accessLine(tour, waypoint, (l) => l["method"] === "GET" && l["path"] === "/items/1");
  showLine(tour, line);
  tour.check(
    line["src.identity"] === "spiffe://cluster.local/ns/shop/sa/frontend" &&
      line["policy"] === "shop/items" &&
      line["rule"] === 0,
    "one line of its log has identity, method, path, policy and rule",
  );
  showLine(
    tour,
    await accessLine(tour, waypoint, (l) => l["method"] === "POST" && l["response_code"] === 403),
  );
}

async function olderPolicyHolds(tour: Tour, waypoint: TourPod): Promise<void> {
  const answer = await eventually("the visitor runs and calls", async () =>
    askFrom(tour, await tour.pod("shop", "app=visitor"), { url: `${ITEMS}?visitor` }),
  );
  const line = await accessLine(
    tour,
    waypoint,
    (l) => l["src.identity"] === "spiffe://cluster.local/ns/shop/sa/default",
  );
  showLine(tour, line);
  tour.check(
    answer.status === 403 && line["policy"] === "shop/no-visitors",
    `the older L4 policy keeps its meaning: the visitor gets ${told(answer)}, by shop/no-visitors`,
  );
}
