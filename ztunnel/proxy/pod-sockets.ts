/** Where a pod's sockets are made. One implementation enters the pod's network namespace; tests use plain sockets. */
import type { SocketFactory } from "#core/handle/socket-factory.ts";
import type { IpAddress } from "#core/net/ip.ts";

export interface PodSockets extends SocketFactory {
  /** Whether an address is on a device of the pod at this moment. */
  hasAddress(address: IpAddress): boolean;
  /** Releases the namespace; sockets that exist live on. */
  close(): void;
}
