/** Pure. The reference proxies for HTTP: mutual TLS 1.3 on both sides, kept upstream connections, one header rule, access log, one thread. */
import type { CertificatePaths } from "../peers/peer.ts";
import { CIPHER_SUITE } from "../peers/proxy-configs.ts";
import { RULE_FIELD } from "./http-text.ts";

export interface HttpProxyOptions {
  /** `ip:port`. */
  readonly listen: string;
  readonly upstream: string;
  readonly certificate: CertificatePaths;
  readonly caPath: string;
  readonly serverName: string;
  readonly directory: string;
}

export function haproxyHttpConfig({ listen, upstream, certificate, caPath }: HttpProxyOptions): string {
  const tls = `ssl crt ${certificate.bothPath} ca-file ${caPath} verify required`;
  return [
    "global",
    "  maxconn 8000",
    "  nbthread 1",
    "  log stdout format raw local0 info",
    ...["bind", "server"].flatMap((side) => [
      `  ssl-default-${side}-ciphersuites ${CIPHER_SUITE}`,
      `  ssl-default-${side}-curves X25519`,
      `  ssl-default-${side}-options ssl-min-ver TLSv1.3`,
    ]),
    "defaults",
    "  mode http",
    "  log global",
    "  option httplog",
    "  http-reuse always",
    "  timeout connect 5s",
    "  timeout client 60s",
    "  timeout server 60s",
    "  timeout http-keep-alive 60s",
    "  maxconn 8000",
    "frontend f",
    `  bind ${listen} ${tls} alpn h2,http/1.1`,
    `  http-request deny unless { req.hdr(${RULE_FIELD.name}) -m str ${RULE_FIELD.value} }`,
    "  default_backend b",
    "backend b",
    `  server s ${upstream} ${tls} no-ssl-reuse`,
    "",
  ].join("\n");
}

export function nginxHttpConfig(options: HttpProxyOptions): string {
  const { listen, upstream, certificate, caPath, serverName, directory } = options;
  const { certificatePath, keyPath } = certificate;
  return [
    "worker_processes 1; master_process off; daemon off; user root;",
    `pid ${directory}/nginx-http.pid; error_log ${directory}/nginx-http.err warn; worker_rlimit_nofile 20000;`,
    "events { worker_connections 9000; }",
    "http {",
    ...["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
      (name) => `  ${name}_temp_path ${directory}/${name};`,
    ),
    '  log_format bench escape=json \'{"time":"$time_iso8601","remote":"$remote_addr","request":"$request","status":$status,"bytes":$bytes_sent,"duration":$request_time,"upstream":"$upstream_addr","agent":"$http_user_agent"}\';',
    `  access_log ${directory}/nginx-http.access bench buffer=64k flush=1s;`,
    `  map $http_${RULE_FIELD.name.replaceAll("-", "_")} $refused { default 1; ${RULE_FIELD.value} 0; }`,
    `  upstream up { server ${upstream}; keepalive 512; keepalive_requests 100000000; keepalive_time 1h; }`,
    "  server {",
    `    listen ${listen} ssl backlog=4096; http2 on; http2_max_concurrent_streams 250;`,
    "    keepalive_requests 100000000; tcp_nodelay on;",
    `    ssl_certificate ${certificatePath}; ssl_certificate_key ${keyPath}; ssl_client_certificate ${caPath};`,
    "    ssl_verify_client on; ssl_protocols TLSv1.3; ssl_ecdh_curve X25519;",
    `    ssl_conf_command Ciphersuites ${CIPHER_SUITE};`,
    "    location / {",
    "      if ($refused) { return 403; }",
    "      proxy_pass https://up; proxy_http_version 1.1;",
    '      proxy_set_header connection ""; proxy_set_header host $host;',
    `      proxy_ssl_verify on; proxy_ssl_trusted_certificate ${caPath}; proxy_ssl_name ${serverName};`,
    `      proxy_ssl_certificate ${certificatePath}; proxy_ssl_certificate_key ${keyPath};`,
    `      proxy_ssl_protocols TLSv1.3; proxy_ssl_conf_command Ciphersuites ${CIPHER_SUITE};`,
    "    }",
    "  }",
    "}",
    "",
  ].join("\n");
}
