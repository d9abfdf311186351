/** Writes answers: JSON with warnings, or a Status for a refusal. */
import type { ServerResponse } from "node:http";
import { StatusError } from "./status-error.ts";

export interface AnswerWriter {
  readonly warnings: string[];
  json(code: number, body: unknown): void;
  /** Already serialised. */
  text(code: number, body: string, contentType?: string): void;
  fail(error: unknown): void;
}

const MAX_WARNINGS = 50;

export function answerWriter(response: ServerResponse, onUnexpected: (error: unknown) => void): AnswerWriter {
  const warnings: string[] = [];
  const text = (code: number, body: string, contentType = "application/json"): void => {
    for (const warning of new Set(warnings.slice(0, MAX_WARNINGS))) {
      response.appendHeader(
        "warning",
        `299 - "${warning
          .replace(/[\\"]/g, "\\$&")
          .replace(/[^\x20-\x7e]/g, "?")
          .slice(0, 500)}"`,
      );
    }
    response.writeHead(code, {
      "content-type": contentType,
      "content-length": Buffer.byteLength(body),
      "cache-control": "no-cache, private",
    });
    response.end(body);
  };
  return {
    warnings,
    text,
    json: (code, body) => text(code, JSON.stringify(body)),
    fail: (error) => {
      const status =
        error instanceof StatusError
          ? error
          : new StatusError(500, "Internal error occurred: see the server's log");
      if (status !== error) onUnexpected(error);
      if (response.headersSent) {
        response.end();
        return;
      }
      const retryAfter = status.details?.retryAfterSeconds;
      if (retryAfter !== undefined) response.setHeader("retry-after", String(retryAfter));
      text(status.code, JSON.stringify(status.toStatus()));
    },
  };
}
