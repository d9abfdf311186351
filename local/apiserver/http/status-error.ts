/** Pure. Refusals as metav1.Status, worded as the real API server words them: clients match on code, reason and causes. */
import type { JsonMap } from "../object.ts";
import type { Resource } from "../registry/resource.ts";

export interface StatusCause {
  readonly reason?: string;
  readonly message: string;
  readonly field?: string;
}

export interface StatusDetails {
  readonly name?: string | undefined;
  readonly group?: string | undefined;
  readonly kind?: string | undefined;
  readonly uid?: string | undefined;
  readonly causes?: readonly StatusCause[] | undefined;
  readonly retryAfterSeconds?: number | undefined;
}

/** One broken field of an object: becomes a cause of a 422. */
export interface FieldProblem {
  readonly field: string;
  readonly message: string;
  readonly reason: string;
}

const REASONS: Readonly<Record<number, string>> = {
  400: "BadRequest",
  401: "Unauthorized",
  403: "Forbidden",
  404: "NotFound",
  405: "MethodNotAllowed",
  406: "NotAcceptable",
  409: "Conflict",
  410: "Expired",
  413: "RequestEntityTooLarge",
  415: "UnsupportedMediaType",
  422: "Invalid",
  429: "TooManyRequests",
  500: "InternalError",
  501: "NotImplemented",
  503: "ServiceUnavailable",
  504: "Timeout",
};

/** A request refused with a Status object. Thrown anywhere below the HTTP front, written by it. */
export class StatusError extends Error {
  readonly code: number;
  readonly reason: string;
  readonly details: StatusDetails | undefined;

  constructor(code: number, message: string, options: { reason?: string; details?: StatusDetails } = {}) {
    super(message);
    this.name = "StatusError";
    this.code = code;
    this.reason = options.reason ?? REASONS[code] ?? "InternalError";
    this.details = options.details;
  }

  toStatus(): JsonMap {
    return {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message: this.message,
      reason: this.reason,
      ...(this.details === undefined ? {} : { details: this.details }),
      code: this.code,
    };
  }
}

export function badRequest(message: string): StatusError {
  return new StatusError(400, message);
}

/** No such path, group, kind or subresource. */
export function unknownPath(): StatusError {
  return new StatusError(404, "the server could not find the requested resource", { details: {} });
}

export function methodNotAllowed(): StatusError {
  return new StatusError(405, "the server does not allow this method on the requested resource", {
    details: {},
  });
}

function about(resource: Resource, name: string): StatusDetails {
  return { name, group: resource.group === "" ? undefined : resource.group, kind: resource.plural };
}

export function notFound(resource: Resource, name: string): StatusError {
  return new StatusError(404, `${resource.id} "${name}" not found`, { details: about(resource, name) });
}

export function alreadyExists(resource: Resource, name: string): StatusError {
  return new StatusError(409, `${resource.id} "${name}" already exists`, {
    reason: "AlreadyExists",
    details: about(resource, name),
  });
}

export const MODIFIED =
  "the object has been modified; please apply your changes to the latest version and try again";

export function conflict(resource: Resource, name: string, why: string): StatusError {
  return new StatusError(409, `Operation cannot be fulfilled on ${resource.id} "${name}": ${why}`, {
    details: about(resource, name),
  });
}

export function forbidden(
  resource: Resource,
  name: string,
  why: string,
  causes?: readonly StatusCause[],
): StatusError {
  return new StatusError(403, `${resource.id} "${name}" is forbidden: ${why}`, {
    details: { ...about(resource, name), causes },
  });
}

/** 422 with one cause per broken field. */
export function invalid(resource: Resource, name: string, problems: readonly FieldProblem[]): StatusError {
  const words = problems.map((problem) => `${problem.field}: ${problem.message}`);
  const subject = resource.group === "" ? resource.kind : `${resource.kind}.${resource.group}`;
  return new StatusError(
    422,
    `${subject} "${name}" is invalid: ${words.length === 1 ? words[0] : `[${words.join(", ")}]`}`,
    {
      details: {
        name: name || undefined,
        group: resource.group || undefined,
        kind: resource.kind,
        causes: problems.map(({ reason, message, field }) => ({ reason, message, field })),
      },
    },
  );
}

export const required = (field: string, why?: string): FieldProblem => ({
  field,
  message: why === undefined ? "Required value" : `Required value: ${why}`,
  reason: "FieldValueRequired",
});

export const invalidValue = (field: string, value: unknown, why: string): FieldProblem => ({
  field,
  message: `Invalid value: ${quote(value)}: ${why}`,
  reason: "FieldValueInvalid",
});

export const forbiddenField = (field: string, why: string): FieldProblem => ({
  field,
  message: `Forbidden: ${why}`,
  reason: "FieldValueForbidden",
});

export const duplicateValue = (field: string, value: unknown): FieldProblem => ({
  field,
  message: `Duplicate value: ${quote(value)}`,
  reason: "FieldValueDuplicate",
});

export const unsupportedValue = (
  field: string,
  value: unknown,
  supported: readonly unknown[],
): FieldProblem => ({
  field,
  message: `Unsupported value: ${quote(value)}: supported values: ${supported.map(quote).join(", ")}`,
  reason: "FieldValueNotSupported",
});

/** A value as the messages print it: JSON, shortened. */
export function quote(value: unknown): string {
  const text = JSON.stringify(value) ?? "null";
  return text.length > 2000 ? `${text.slice(0, 2000)}...` : text;
}
