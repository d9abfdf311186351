/** For the crash test: an API server as a process of its own; prints its kubeconfig as one line of JSON. */
import { silentLogger } from "#core/runtime/log.ts";
import { startApiServer } from "../start-apiserver.ts";

const server = await startApiServer({
  dataDir: process.argv[2] ?? "",
  listen: [{ host: "127.0.0.1", port: 0 }],
  advertise: [],
  serviceCidr: "10.96.0.0/16",
  controllers: "storage",
  log: silentLogger,
});
process.stdout.write(`${JSON.stringify(server.adminKubeconfig)}\n`);
