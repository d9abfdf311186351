/**
 * Pure. The fields of a certificate that decisions rest on, read strictly from DER (RFC 5280). Whether the signature
 * chain is good is TLS's business; who the certificate speaks for is decided from what is read here.
 */
import { type Parsed, parsed, problem } from "../base/parse-result.ts";
import { DER, DerError, DerReader } from "./der.ts";

const MAX_CERTIFICATE_BYTES = 64 * 1024;

export interface CertificateFields {
  /** Lower-case hex, no sign byte. */
  readonly serial: string;
  /** Names as hex of their DER: equal bytes are equal names. */
  readonly issuer: string;
  readonly subject: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** SubjectPublicKeyInfo. */
  readonly publicKeyDer: Uint8Array;
  /** Basic constraints say CA:true. */
  readonly isCa: boolean;
  /** URI entries of the subject alternative name. */
  readonly uris: readonly string[];
  readonly dnsNames: readonly string[];
  /** Hex of the purposes' object identifiers; undefined without the extension. */
  readonly extendedKeyUsages: readonly string[] | undefined;
  /** Hex; undefined without the extension. */
  readonly subjectKeyId: string | undefined;
}

/** Object identifiers as hex of their content. */
export const OID_HEX = {
  subjectAltName: "551d11",
  basicConstraints: "551d13",
  extendedKeyUsage: "551d25",
  subjectKeyId: "551d0e",
  serverAuth: "2b06010505070301",
  clientAuth: "2b06010505070302",
} as const;

export function parseCertificate(bytes: Uint8Array): Parsed<CertificateFields> {
  if (bytes.length > MAX_CERTIFICATE_BYTES) return problem("", "is larger than 64 KiB");
  try {
    return parsed(readCertificate(bytes));
  } catch (error) {
    if (error instanceof DerError) return problem("", `is no valid certificate: ${error.message}`);
    throw error;
  }
}

function readCertificate(bytes: Uint8Array): CertificateFields {
  const outer = new DerReader(bytes);
  const certificate = outer.inside(DER.sequence);
  outer.end();
  const body = certificate.inside(DER.sequence);
  certificate.element(DER.sequence); // signature algorithm
  certificate.bits();
  certificate.end();

  readVersion3(body);
  const serial = readSerial(body);
  body.element(DER.sequence); // signature algorithm, again
  const issuer = hex(body.element(DER.sequence).whole);
  const validity = body.inside(DER.sequence);
  const [notBeforeMs, notAfterMs] = [readTime(validity), readTime(validity)];
  validity.end();
  const subject = hex(body.element(DER.sequence).whole);
  const publicKeyDer = body.element(DER.sequence).whole;
  return { serial, issuer, subject, notBeforeMs, notAfterMs, publicKeyDer, ...readExtensions(body) };
}

function readVersion3(body: DerReader): void {
  const version = body.inside(DER.context(0));
  const value = version.integer();
  version.end();
  if (value.length !== 1 || value[0] !== 2) throw new DerError("is not version 3");
}

/** At most 20 bytes and positive (RFC 5280 4.1.2.2). */
function readSerial(body: DerReader): string {
  const bytes = body.integer();
  if (bytes.length > 20 || (bytes[0] ?? 0) >= 0x80) throw new DerError("has a bad serial number");
  return hex(bytes[0] === 0 && bytes.length > 1 ? bytes.subarray(1) : bytes);
}

function readTime(reader: DerReader): number {
  const { tag, content } = reader.any();
  const text = Buffer.from(content).toString("latin1");
  const digits = tag === DER.utcTime ? `${text < "5" ? "20" : "19"}${text}` : text;
  if ((tag !== DER.utcTime && tag !== DER.generalizedTime) || !/^\d{14}Z$/.test(digits))
    throw new DerError("has a bad time");
  const ms = Date.parse(digits.replace(/^(....)(..)(..)(..)(..)(..)Z$/, "$1-$2-$3T$4:$5:$6Z"));
  // The parser would roll February 31st over into March.
  if (Number.isNaN(ms) || new Date(ms).toISOString().replaceAll(/[-:T]|\.000/g, "") !== digits)
    throw new DerError("has an impossible time");
  return ms;
}

type ExtensionFields = Pick<
  CertificateFields,
  "isCa" | "uris" | "dnsNames" | "extendedKeyUsages" | "subjectKeyId"
>;

function readExtensions(body: DerReader): ExtensionFields {
  const found = new Map<string, Uint8Array>();
  body.optional(DER.contextPrimitive(1)); // unique ids, obsolete
  body.optional(DER.contextPrimitive(2));
  const wrapped = body.optional(DER.context(3));
  body.end();
  if (wrapped !== undefined) collectExtensions(new DerReader(wrapped.content), found);
  const names = readNames(found.get(OID_HEX.subjectAltName));
  return {
    isCa: readIsCa(found.get(OID_HEX.basicConstraints)),
    uris: names.uris,
    dnsNames: names.dnsNames,
    extendedKeyUsages: readPurposes(found.get(OID_HEX.extendedKeyUsage)),
    subjectKeyId: readKeyId(found.get(OID_HEX.subjectKeyId)),
  };
}

function collectExtensions(wrapper: DerReader, found: Map<string, Uint8Array>): void {
  const list = wrapper.inside(DER.sequence);
  wrapper.end();
  while (!list.done) {
    const extension = list.inside(DER.sequence);
    const oid = hex(extension.content(DER.oid));
    if (extension.peek() === DER.boolean) extension.boolean();
    const value = extension.content(DER.octetString);
    extension.end();
    // Two of one kind would let two readers see two truths.
    if (found.has(oid)) throw new DerError("has an extension twice");
    found.set(oid, value);
  }
}

function readNames(value: Uint8Array | undefined): { uris: readonly string[]; dnsNames: readonly string[] } {
  const uris: string[] = [];
  const dnsNames: string[] = [];
  if (value === undefined) return { uris, dnsNames };
  const outer = new DerReader(value);
  const names = outer.inside(DER.sequence);
  outer.end();
  while (!names.done) {
    const { tag, content } = names.any();
    if (tag === DER.contextPrimitive(6)) uris.push(asciiText(content));
    else if (tag === DER.contextPrimitive(2)) dnsNames.push(asciiText(content));
  }
  return { uris, dnsNames };
}

/** IA5String: printable ASCII only, so that no NUL or look-alike hides in a name. */
function asciiText(content: Uint8Array): string {
  if (content.some((byte) => byte < 0x21 || byte > 0x7e))
    throw new DerError("has a name with odd characters");
  return Buffer.from(content).toString("latin1");
}

function readIsCa(value: Uint8Array | undefined): boolean {
  if (value === undefined) return false;
  const outer = new DerReader(value);
  const constraints = outer.inside(DER.sequence);
  outer.end();
  const isCa = constraints.peek() === DER.boolean ? constraints.boolean() : false;
  if (!constraints.done) constraints.integer(); // path length
  constraints.end();
  return isCa;
}

function readPurposes(value: Uint8Array | undefined): readonly string[] | undefined {
  if (value === undefined) return undefined;
  const outer = new DerReader(value);
  const list = outer.inside(DER.sequence);
  outer.end();
  const purposes: string[] = [];
  while (!list.done) purposes.push(hex(list.content(DER.oid)));
  return purposes;
}

function readKeyId(value: Uint8Array | undefined): string | undefined {
  if (value === undefined) return undefined;
  const outer = new DerReader(value);
  const id = outer.content(DER.octetString);
  outer.end();
  return hex(id);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
