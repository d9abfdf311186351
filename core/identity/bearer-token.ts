/** The token with which this process proves itself to the controller. Read anew each time: kubelet rotates the file. */
import { readFile } from "node:fs/promises";
import { AmbitError } from "../runtime/errors.ts";

/**
 * Reads the token; `source` is a path, or the token itself when it has no slash in front.
 * Rejects with TOKEN_UNREADABLE. The token is secret: it is never part of an error or a log line.
 */
export async function readBearerToken(source: string): Promise<string> {
  const isPath = source.startsWith("/") || source.startsWith(".");
  const token = (isPath ? await readTokenFile(source) : source).trim();
  if (!/^[\x21-\x7e]{1,16384}$/.test(token)) {
    throw new AmbitError("TOKEN_UNREADABLE", `${isPath ? source : "the configured token"} holds no token`, {
      retryable: true,
    });
  }
  return token;
}

async function readTokenFile(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new AmbitError("TOKEN_UNREADABLE", `cannot read the token ${path}`, { cause, retryable: true });
  }
}
