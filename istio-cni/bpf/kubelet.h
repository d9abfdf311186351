/* kubelet (sockops on the kubelet's own cgroup): remembers every connection before its SYN leaves, so that steer can
   tell a probe from anything else that comes from the node's address (masqueraded traffic, for one). */
#pragma once
#include "maps.h"

#define SOCKOPS(field) CTX_U32(ctx, struct bpf_sock_ops, field)

SEC("sockops") int kubelet(struct bpf_sock_ops *ctx) {
  if (ctx->op != BPF_SOCK_OPS_TCP_CONNECT_CB) return 1;
  struct tuple tuple = {}; /* as the pod sees it: our remote is its local */
  if (ctx->family == FAMILY_INET) {
    set_mapped_ipv4(&tuple.local, SOCKOPS(remote_ip4));
    set_mapped_ipv4(&tuple.remote, SOCKOPS(local_ip4));
  } else {
    tuple.local.word[0] = SOCKOPS(remote_ip6[0]);
    tuple.local.word[1] = SOCKOPS(remote_ip6[1]);
    tuple.local.word[2] = SOCKOPS(remote_ip6[2]);
    tuple.local.word[3] = SOCKOPS(remote_ip6[3]);
    tuple.remote.word[0] = SOCKOPS(local_ip6[0]);
    tuple.remote.word[1] = SOCKOPS(local_ip6[1]);
    tuple.remote.word[2] = SOCKOPS(local_ip6[2]);
    tuple.remote.word[3] = SOCKOPS(local_ip6[3]);
  }
  tuple.local_port = bpf_ntohl(SOCKOPS(remote_port));
  tuple.remote_port = SOCKOPS(local_port);
  __u64 now = bpf_ktime_get_ns();
  bpf_map_update_elem(&probes, &tuple, &now, 0);
  return 1;
}
