/** No proxy at all: what link, load and servers can do. */
import { DIRECT_ECHO_PORT, DIRECT_SINK_PORT, IP_B } from "../network/bench-network.ts";
import type { Peer } from "./peer.ts";

export const directPeer: Peer = {
  name: "direct",
  facts: {
    version: "-",
    tlsLibrary: "-",
    origin: "-",
    cipherGibPerSecond: undefined,
    cipherMethod: "-",
    setting: "no proxy, no TLS: the limit of load and link",
  },
  start: () =>
    Promise.resolve({
      a: [],
      b: [],
      echo: { ip: IP_B, port: DIRECT_ECHO_PORT },
      sink: { ip: IP_B, port: DIRECT_SINK_PORT },
      tls: undefined,
      stop: () => Promise.resolve(),
    }),
};
