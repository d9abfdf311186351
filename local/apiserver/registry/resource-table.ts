/** Pure data. The closed list of built-in kinds: anything that is not in this table or in a CRD is a 404. */
import type { Resource } from "./resource.ts";
import { ALL_VERBS } from "./resource.ts";

/** group version Kind plural scope(+ namespaced, - cluster, ! create-only review) short,names |subresources @categories %generation */
const TABLE = `
 v1 Namespace namespaces - ns |status,finalize
 v1 Pod pods + po |status,log,exec,attach,portforward,ephemeralcontainers,eviction,binding @all %
 v1 Service services + svc |status @all
 v1 ConfigMap configmaps + cm
 v1 Secret secrets +
 v1 ServiceAccount serviceaccounts + sa |token
 v1 Endpoints endpoints + ep
 v1 Event events + ev
 v1 Node nodes - no |status
apps v1 Deployment deployments + deploy |status,scale @all %
apps v1 ReplicaSet replicasets + rs |status,scale @all %
apps v1 DaemonSet daemonsets + ds |status @all %
autoscaling v2 HorizontalPodAutoscaler horizontalpodautoscalers + hpa |status @all
networking.k8s.io v1 NetworkPolicy networkpolicies + netpol %
discovery.k8s.io v1 EndpointSlice endpointslices + %
coordination.k8s.io v1 Lease leases +
rbac.authorization.k8s.io v1 Role roles +
rbac.authorization.k8s.io v1 RoleBinding rolebindings +
rbac.authorization.k8s.io v1 ClusterRole clusterroles -
rbac.authorization.k8s.io v1 ClusterRoleBinding clusterrolebindings -
admissionregistration.k8s.io v1 ValidatingWebhookConfiguration validatingwebhookconfigurations - %
admissionregistration.k8s.io v1 ValidatingAdmissionPolicy validatingadmissionpolicies - |status %
admissionregistration.k8s.io v1 ValidatingAdmissionPolicyBinding validatingadmissionpolicybindings - %
apiextensions.k8s.io v1 CustomResourceDefinition customresourcedefinitions - crd,crds |status @api-extensions %
authentication.k8s.io v1 TokenReview tokenreviews !
authentication.k8s.io v1 SelfSubjectReview selfsubjectreviews !
authorization.k8s.io v1 SubjectAccessReview subjectaccessreviews !
authorization.k8s.io v1 SelfSubjectAccessReview selfsubjectaccessreviews !
authorization.k8s.io v1 SelfSubjectRulesReview selfsubjectrulesreviews !
authorization.k8s.io v1 LocalSubjectAccessReview localsubjectaccessreviews +!`;

function parseLine(line: string): Resource {
  const words = line.trim().split(" ");
  const group = /^v\d/.test(words[0] ?? "") ? "" : (words.shift() ?? "");
  const [version = "", kind = "", plural = "", scope = "", ...rest] = words;
  const marked = (mark: string): string[] =>
    rest
      .find((word) => word.startsWith(mark))
      ?.slice(1)
      .split(",") ?? [];
  const shortNames = rest.find((word) => /^[a-z]/.test(word))?.split(",") ?? [];
  const review = scope.endsWith("!");
  return {
    id: group === "" ? plural : `${plural}.${group}`,
    group,
    version,
    kind,
    plural,
    singular: kind.toLowerCase(),
    listKind: `${kind}List`,
    shortNames,
    categories: marked("@"),
    namespaced: scope.startsWith("+"),
    subresources: marked("|"),
    verbs: review ? ["create"] : ALL_VERBS,
    review,
    hasGeneration: rest.includes("%"),
    servedVersions: [version],
    custom: undefined,
  };
}

export const BUILTIN_RESOURCES: readonly Resource[] = TABLE.trim().split("\n").map(parseLine);
