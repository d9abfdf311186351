/**
 * Root certificates as PEM. An empty or unreadable bundle is an error, never "no roots": Node takes an absent `ca` as
 * leave to trust the public web.
 */
import { readFile } from "node:fs/promises";
import { type Parsed, parsed, problem } from "../base/parse-result.ts";
import { AmbitError } from "../runtime/errors.ts";
import { decodePem, encodePem } from "./pem.ts";
import { parseCertificate } from "./x509.ts";

/** One PEM per root, duplicates removed; every one must be a CA. */
export function parseTrustBundle(pem: string): Parsed<readonly string[]> {
  const blocks = decodePem("CERTIFICATE", pem);
  if (!blocks.ok) return blocks;
  const roots = new Set<string>();
  for (const block of blocks.value) {
    const fields = parseCertificate(block);
    if (!fields.ok) return problem("", `has a root that ${fields.problems[0]?.message ?? "is bad"}`);
    if (!fields.value.isCa) return problem("", "has a certificate that is no CA");
    roots.add(encodePem("CERTIFICATE", block));
  }
  return parsed([...roots]);
}

/** Reads roots from a file, or takes `source` itself when it is PEM text. Rejects with TRUST_BUNDLE_UNUSABLE. */
export async function readTrustBundle(source: string): Promise<string> {
  const isText = source.includes("-----BEGIN");
  const where = isText ? "the configured roots" : source;
  const text = isText ? source : await readBundleFile(source);
  const bundle = parseTrustBundle(text);
  if (bundle.ok) return bundle.value.join("");
  throw new AmbitError("TRUST_BUNDLE_UNUSABLE", `${where} ${bundle.problems[0]?.message ?? "is bad"}`, {
    retryable: true,
  });
}

async function readBundleFile(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new AmbitError("TRUST_BUNDLE_UNUSABLE", `cannot read the root certificates ${path}`, {
      cause,
      retryable: true,
    });
  }
}
