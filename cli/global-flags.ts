/** Pure. Flags that every command has; they may also stand before the command's name. */
import type { Flags, FlagValues } from "./command.ts";
import type { GlobalOptions } from "./context.ts";
import { SYSTEM_NAMESPACE } from "#core/model/well-known.ts";

export const GLOBAL_FLAGS = {
  kubeconfig: {
    kind: "text",
    placeholder: "FILE",
    help: "kubeconfig file (default: KUBECONFIG, then ~/.kube/config)",
  },
  context: {
    kind: "text",
    placeholder: "NAME",
    help: "context of the kubeconfig (default: the current one)",
  },
  namespace: {
    kind: "text",
    short: "n",
    placeholder: "NAMESPACE",
    default: "default",
    help: "namespace to work in, and of pods that are named without one",
  },
  "istio-namespace": {
    kind: "text",
    short: "i",
    placeholder: "NAMESPACE",
    default: SYSTEM_NAMESPACE,
    help: "namespace in which Ambit itself runs",
  },
  help: { kind: "switch", short: "h", help: "show help" },
} as const satisfies Flags;

export function globalOptions(values: FlagValues<typeof GLOBAL_FLAGS>): GlobalOptions {
  return {
    kubeconfig: values.kubeconfig,
    context: values.context,
    namespace: values.namespace,
    systemNamespace: values["istio-namespace"],
  };
}
