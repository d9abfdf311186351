/** Codes of failures that begin in the waypoint. */

/** No certificate of its own that is valid now: nothing is sent or taken until the CA gives one. */
export const WAYPOINT_NO_CERTIFICATE = "WAYPOINT_NO_CERTIFICATE";
