/** Errors of the command line: each code with its exit code and what the user can do next. One table. */
import { AmbitError, describeError } from "#core/runtime/errors.ts";
import { ExitCode } from "./exit-codes.ts";

interface ErrorEntry {
  readonly exit: ExitCode;
  readonly next: string;
}

const CLI_ERRORS: Readonly<Record<string, ErrorEntry>> = {
  CLI_USAGE: { exit: ExitCode.usage, next: "" },
  CLI_NO_CLUSTER: {
    exit: ExitCode.unreachable,
    next: "Set KUBECONFIG, pass --kubeconfig, or start a local cluster with `npm start`, which prints the line to paste.",
  },
  CLI_NO_MESH: {
    exit: ExitCode.notFound,
    next: "Look with `kubectl get pods -A`; if Ambit runs in another namespace, name it with --istio-namespace.",
  },
  CLI_NOT_FOUND: { exit: ExitCode.notFound, next: "Look with `kubectl get pods -A -o wide`." },
  CLI_NO_KIND: {
    exit: ExitCode.notFound,
    next: "Is Ambit installed? Its definitions are applied with `kubectl apply --server-side -f crds/`.",
  },
  CLI_NO_NAMESPACE: { exit: ExitCode.notFound, next: "Look with `kubectl get namespaces`." },
  CLI_NO_WAYPOINT: { exit: ExitCode.notFound, next: "Look with `ambit waypoint list -A`." },
  CLI_ENROLLED: { exit: ExitCode.failed, next: "Replace the label with --overwrite." },
  CLI_NOT_PROGRAMMED: {
    exit: ExitCode.failed,
    next: "See `ambit waypoint status`, and the waypoint's pods with `kubectl get pods -l gateway.networking.k8s.io/gateway-name`.",
  },
  CLI_AMBIGUOUS: { exit: ExitCode.usage, next: "Name a pod, or a node with --node." },
  CLI_POD_UNREACHABLE: {
    exit: ExitCode.unreachable,
    next: "See whether the pod runs with `kubectl get pods -n istio-system`, and its log with `kubectl logs`.",
  },
  CLI_BAD_DUMP: {
    exit: ExitCode.failed,
    next: "Give the JSON that `ambit ztunnel-config all -o json` prints, or that a ztunnel's /config_dump answers.",
  },
  CLI_BAD_REPLY: { exit: ExitCode.failed, next: "Compare the versions with `ambit version`." },
  CLI_FILE: { exit: ExitCode.failed, next: "Check the path and its permissions." },
  KUBE_UNREACHABLE: {
    exit: ExitCode.unreachable,
    next: "Is the cluster running? `kubectl cluster-info` with the same KUBECONFIG tells; a local one starts with `npm start`.",
  },
  KUBE_STATUS: {
    exit: ExitCode.failed,
    next: "If access was refused, ask for the right that the message names.",
  },
};

export interface ErrorReport {
  readonly text: string;
  readonly exit: ExitCode;
}

/** What happened, why, and what to do. */
export function reportError(error: unknown): ErrorReport {
  if (error instanceof AmbitError) {
    const entry = CLI_ERRORS[error.code];
    const next = entry === undefined || entry.next === "" ? "" : `\n${entry.next}`;
    return { text: `Error: ${error.message}${next}`, exit: entry?.exit ?? ExitCode.failed };
  }
  return { text: `Error: ${describeError(error)}`, exit: ExitCode.failed };
}

export function usageError(message: string): AmbitError {
  return new AmbitError("CLI_USAGE", message);
}
