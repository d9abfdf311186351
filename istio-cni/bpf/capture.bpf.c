/* Capture of a pod's TCP, IPv4 and IPv6. One object; every program shares the maps of maps.h.
   Built by `npm run gen:bpf`; contracts in README.md. Only stable (UAPI) contexts are used. */
#include "steer.h"
#include "egress.h"
#include "loopback.h"
#include "adopt.h"
#include "kubelet.h"

char LICENSE[] SEC("license") = "GPL";
