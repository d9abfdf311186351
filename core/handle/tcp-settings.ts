/** Settings that every TCP socket of the mesh has (Istio's defaults); Nagle's delay is off as well. */
export const KEEPALIVE_IDLE_SECONDS = 180;
