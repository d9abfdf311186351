/** Prints what a TLS server negotiates: one JSON line. Arguments: ip port certificate key ALPN-or-empty. */
import { readFileSync } from "node:fs";
import { connect } from "node:tls";

const [host = "", port = "", certificatePath = "", keyPath = "", alpn = ""] = process.argv.slice(2);
const socket = connect({
  host,
  port: Number(port),
  cert: readFileSync(certificatePath),
  key: readFileSync(keyPath),
  rejectUnauthorized: false, // asks only for protocol and cipher; nothing is sent
  ...(alpn === "" ? {} : { ALPNProtocols: [alpn] }),
});
socket.once("secureConnect", () => {
  const { name } = socket.getCipher();
  process.stdout.write(`${JSON.stringify({ protocol: socket.getProtocol(), cipher: name })}\n`);
  socket.destroy();
  process.exit(0);
});
socket.once("error", (error) => {
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
});
setTimeout(() => process.exit(2), 5_000);
