/** Pure. What the second topology's namespace holds besides its two pods: accounts and 20 policies, one of which allows. */
const OTHERS = 19;

export function podsYaml(): string {
  const objects = [
    object("v1", "Namespace", "bench", undefined, ""),
    object("v1", "ServiceAccount", "client", "bench", ""),
    object("v1", "ServiceAccount", "server", "bench", ""),
    allow("the-load", "cluster.local/ns/bench/sa/client"),
    ...Array.from({ length: OTHERS }, (_, i) =>
      allow(`other-caller-${i}`, `cluster.local/ns/shop/sa/account-${i}`),
    ),
  ];
  return objects.join("---\n");
}

function allow(name: string, principal: string): string {
  const rule = `spec:\n  action: ALLOW\n  rules: [{ from: [{ source: { principals: ["${principal}"] } }] }]\n`;
  return object("security.istio.io/v1", "AuthorizationPolicy", name, "bench", rule);
}

function object(
  apiVersion: string,
  kind: string,
  name: string,
  namespace: string | undefined,
  rest: string,
): string {
  const where = namespace === undefined ? "" : `, namespace: ${namespace}`;
  return `apiVersion: ${apiVersion}\nkind: ${kind}\nmetadata: { name: ${name}${where} }\n${rest}`;
}
