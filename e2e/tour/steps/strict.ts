/** Step 4: STRICT refuses a client outside the mesh while the kubelet's probes keep passing; PERMISSIVE lets it in. */
import { jsonList, jsonObject } from "#core/k8s/json-read.ts";
import { kindPath, POD } from "#core/k8s/kinds.ts";
import { eventually } from "../../framework/eventually.ts";
import type { Tour } from "../tour.ts";
import { CATALOG_POLICY, intruderCall } from "./authorize.ts";

const peerAuthentication = (mode: string): string => `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: default, namespace: shop }
spec: { mtls: { mode: ${mode} } }
`;

export async function strictAndPermissive(tour: Tour): Promise<void> {
  const { kubectl } = tour.parts;
  await kubectl.delete(CATALOG_POLICY, "authorizationpolicy catalog -n shop");
  await kubectl.apply(peerAuthentication("PERMISSIVE"));
  await eventually("PERMISSIVE lets a client outside the mesh in", async () =>
    (await intruderCall(tour)) === "200" ? true : undefined,
  );
  tour.check(true, "PERMISSIVE: the client outside the mesh gets 200");
  const before = await tour.loadStats();
  await kubectl.apply(peerAuthentication("STRICT"));
  const refused = await eventually("STRICT refuses it", async () => {
    const answer = await intruderCall(tour);
    return answer === "200" ? undefined : answer;
  });
  tour.check(true, `STRICT: it is refused (${refused})`);
  const ready = await readySince(tour);
  await new Promise((resolve) => setTimeout(resolve, 5_000));
  await tour.checkLoad(before);
  tour.check(
    (await readySince(tour)) === ready && ready !== "",
    `the kubelet's readiness probes keep passing (Ready since ${ready}, a probe each second)`,
  );
  await kubectl.delete(peerAuthentication("STRICT"), "peerauthentication default -n shop");
}

/** Time since which the catalog is Ready without interruption and without restarts; "" when it is not. */
async function readySince(tour: Tour): Promise<string> {
  const { name } = await tour.pod("shop", "app=catalog");
  const pod = jsonObject(
    await tour.parts.client.json({ method: "GET", path: kindPath(POD, { namespace: "shop", name }) }),
  );
  const status = jsonObject(pod["status"]);
  const restarts = jsonList(status["containerStatuses"]).some((c) => jsonObject(c)["restartCount"] !== 0);
  const condition = jsonList(status["conditions"])
    .map(jsonObject)
    .find((c) => c["type"] === "Ready");
  return !restarts && condition?.["status"] === "True" ? String(condition["lastTransitionTime"]) : "";
}
