/** Step 6: the CNI plugin captures a pod before its first process exists, so that its very first connection is in the mesh. */
import { jsonText } from "#core/k8s/json-read.ts";
import { eventually } from "../../framework/eventually.ts";
import type { Tour } from "../tour.ts";

const EARLY = `
apiVersion: v1
kind: Pod
metadata: { name: early, namespace: shop, labels: { app: early } }
spec:
  serviceAccountName: frontend
  nodeSelector: { kubernetes.io/hostname: n1 }
  terminationGracePeriodSeconds: 1
  containers:
    - name: client
      image: ambit/sample-client
      env: [{ name: TARGET_URL, value: "http://catalog:8080/items" }, { name: PERIOD, value: 20ms }]
`;

export async function newPodFromFirstPacket(tour: Tour): Promise<void> {
  const { kubectl, wire } = tour.parts;
  await kubectl.apply(EARLY);
  const pod = await eventually("the pod has an address and asks the catalog", async () => {
    const [early] = await tour.pods("shop", "app=early");
    if (early === undefined || early.ips.length === 0) return undefined;
    return (await tour.log(early, 20)).includes('"status":200') ? early : undefined;
  });
  await wire.settle();
  const [first] = (await tour.log(pod)).split("\n");
  tour.show(`first call of the pod's first process: ${first}`);
  const onLink = wire.connections().filter((c) => pod.ips.includes(c.clientIp));
  const clear = onLink.filter((c) => c.serverPort !== 15_008);
  tour.show(onLink.map((c) => `${c.client} -> ${c.server}`).join("\n"));
  tour.check(
    onLink.length > 0 && clear.length === 0,
    "everything it ever sent across the link went through a tunnel",
  );
  const ztunnel = (await tour.pods("istio-system", "app=ztunnel")).find((z) => z.node === pod.node);
  const line =
    ztunnel &&
    (await tour.logLines(ztunnel)).find(
      (l) => l["scope"] === "access" && jsonText(l["src.workload"]) === "early",
    );
  tour.check(
    line !== undefined,
    `its first connection is in the access log: ${jsonText(line?.["src.identity"])} to ${jsonText(line?.["dst.service"])}`,
  );
  await kubectl.delete(EARLY, "pod early -n shop");
}
