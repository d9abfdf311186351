/**
 * Pure. Configurations of the reference peers: a TCP pair over mutual TLS 1.3 with AES-256-GCM, one thread a side (as
 * ztunnel has), 64 KiB buffers where they can be set, logging on. Key agreement is X25519 for all of them: their default
 * with OpenSSL 3.5 may be a costlier post-quantum hybrid.
 */
import type { CertificatePaths } from "./peer.ts";

export const CIPHER_SUITE = "TLS_AES_256_GCM_SHA384";

/** One service through one side of a pair. */
export interface Forward {
  readonly name: string;
  readonly listen: string;
  readonly connect: string;
}

export interface SideOptions {
  readonly side: "a" | "b";
  readonly forwards: readonly Forward[];
  readonly certificate: CertificatePaths;
  readonly caPath: string;
  readonly serverName: string;
  readonly logPath: string;
}

export function haproxyConfig({ side, forwards, certificate, caPath }: SideOptions): string {
  const tls = `ssl crt ${certificate.bothPath} ca-file ${caPath} verify required`;
  const defaultsFor = side === "a" ? "server" : "bind";
  const sections = forwards.flatMap(({ name, listen, connect }) => [
    `frontend ${name}`,
    `  bind ${listen}${side === "b" ? ` ${tls}` : ""}`,
    `  default_backend to-${name}`,
    `backend to-${name}`,
    `  server s ${connect}${side === "a" ? ` ${tls}` : ""}`,
  ]);
  return [
    "global",
    "  maxconn 8000",
    "  nbthread 1",
    "  log stdout format raw local0 info",
    `  ssl-default-${defaultsFor}-ciphersuites ${CIPHER_SUITE}`,
    `  ssl-default-${defaultsFor}-curves X25519`,
    `  ssl-default-${defaultsFor}-options ssl-min-ver TLSv1.3`,
    "  tune.bufsize 65536",
    "defaults",
    "  mode tcp",
    "  log global",
    "  option tcplog",
    "  timeout connect 5s",
    "  timeout client 60s",
    "  timeout server 60s",
    "  maxconn 8000",
    ...sections,
    "",
  ].join("\n");
}

export function nginxConfig(
  options: SideOptions & { readonly modulePath: string; readonly directory: string },
): string {
  const { side, forwards, logPath, modulePath, directory } = options;
  const tls = side === "a" ? nginxClientTls(options) : nginxServerTls(options);
  const servers = forwards.map(({ listen, connect }) => {
    const suffix = side === "b" ? " ssl" : "";
    return `  server { listen ${listen}${suffix} backlog=4096; proxy_pass ${connect}; tcp_nodelay on; ${tls} }`;
  });
  return [
    `load_module ${modulePath};`,
    "worker_processes 1; master_process off; daemon off; user root;",
    `pid ${directory}/nginx-${side}.pid; error_log ${logPath} warn; worker_rlimit_nofile 20000;`,
    "events { worker_connections 9000; }",
    "stream {",
    "  proxy_buffer_size 64k;",
    "  log_format bench '$remote_addr $time_iso8601 $status $bytes_sent $bytes_received $session_time';",
    `  access_log ${logPath}.access bench;`,
    ...servers,
    "}",
    "",
  ].join("\n");
}

function nginxClientTls({ certificate, caPath, serverName }: SideOptions): string {
  return [
    `proxy_ssl on; proxy_ssl_verify on; proxy_ssl_trusted_certificate ${caPath}; proxy_ssl_name ${serverName};`,
    `proxy_ssl_certificate ${certificate.certificatePath}; proxy_ssl_certificate_key ${certificate.keyPath};`,
    "proxy_ssl_protocols TLSv1.3;",
    `proxy_ssl_conf_command Ciphersuites ${CIPHER_SUITE}; proxy_ssl_conf_command Groups X25519;`,
  ].join(" ");
}

function nginxServerTls({ certificate, caPath }: SideOptions): string {
  return [
    `ssl_certificate ${certificate.certificatePath}; ssl_certificate_key ${certificate.keyPath};`,
    `ssl_client_certificate ${caPath}; ssl_verify_client on; ssl_protocols TLSv1.3; ssl_ecdh_curve X25519;`,
    `ssl_conf_command Ciphersuites ${CIPHER_SUITE};`,
  ].join(" ");
}

export function stunnelConfig({ side, forwards, certificate, caPath }: SideOptions): string {
  const services = forwards.flatMap(({ name, listen, connect }) => [
    `[${name}]`,
    ...(side === "a" ? ["client = yes"] : []),
    `accept = ${listen}`,
    `connect = ${connect}`,
  ]);
  return [
    "foreground = yes",
    "pid =",
    "debug = 5",
    "libwrap = no",
    `cert = ${certificate.bothPath}`,
    `CAfile = ${caPath}`,
    "verifyChain = yes",
    "sslVersionMin = TLSv1.3",
    `ciphersuites = ${CIPHER_SUITE}`,
    "curves = X25519",
    "socket = l:TCP_NODELAY=1",
    "socket = r:TCP_NODELAY=1",
    ...services,
    "",
  ].join("\n");
}
