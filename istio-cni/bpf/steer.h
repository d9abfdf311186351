/* steer (SK_LOOKUP on the pod's namespace): which listener gets a new connection. Runs once per SYN. */
#pragma once
#include "maps.h"

#define PROBE_LIFETIME_NS 30000000000ULL
#define LOOKUP(field) CTX_U32(ctx, struct bpf_sk_lookup, field)

static __always_inline void lookup_local_ip(struct bpf_sk_lookup *ctx, struct ip16 *ip) {
  if (ctx->family == FAMILY_INET) {
    set_mapped_ipv4(ip, LOOKUP(local_ip4));
    return;
  }
  ip->word[0] = LOOKUP(local_ip6[0]);
  ip->word[1] = LOOKUP(local_ip6[1]);
  ip->word[2] = LOOKUP(local_ip6[2]);
  ip->word[3] = LOOKUP(local_ip6[3]);
}

static __always_inline void lookup_remote_ip(struct bpf_sk_lookup *ctx, struct ip16 *ip) {
  if (ctx->family == FAMILY_INET) {
    set_mapped_ipv4(ip, LOOKUP(remote_ip4));
    return;
  }
  ip->word[0] = LOOKUP(remote_ip6[0]);
  ip->word[1] = LOOKUP(remote_ip6[1]);
  ip->word[2] = LOOKUP(remote_ip6[2]);
  ip->word[3] = LOOKUP(remote_ip6[3]);
}

static __always_inline int is_probe(const struct tuple *tuple) {
  __u64 *since = bpf_map_lookup_elem(&probes, tuple);
  return since && bpf_ktime_get_ns() - *since < PROBE_LIFETIME_NS;
}

static __always_inline int assign(struct bpf_sk_lookup *ctx, __u32 role) {
  struct bpf_sock *listener = bpf_map_lookup_elem(&listeners, &role);
  if (!listener) { /* fail closed: the caller gets a RST */
    count(COUNT_NO_LISTENER);
    return SK_DROP;
  }
  /* NO_REUSEPORT: exactly the adopted listener, never a sibling that the application put beside it. */
  long failed = bpf_sk_assign(ctx, listener, BPF_SK_LOOKUP_F_NO_REUSEPORT);
  bpf_sk_release(listener);
  count(role);
  return failed ? SK_DROP : SK_PASS;
}

SEC("sk_lookup") int steer(struct bpf_sk_lookup *ctx) {
  if (ctx->protocol != IPPROTO_TCP) return SK_PASS;
  struct tuple tuple = {};
  lookup_local_ip(ctx, &tuple.local);
  if (LOOKUP(ingress_ifindex) == LOOPBACK_IFINDEX) {
    if (is_loopback(&tuple.local) || is_pod_ip(&tuple.local)) return SK_PASS;
    return assign(ctx, ROLE_OUTBOUND);
  }
  lookup_remote_ip(ctx, &tuple.remote);
  /* IPv4: a connection of the pod to its own address shows the outer device here. */
  if (is_loopback(&tuple.remote) || is_pod_ip(&tuple.remote)) return SK_PASS;
  __u32 port = LOOKUP(local_port);
  if (port == HBONE_PORT) return assign(ctx, ROLE_HBONE); /* until the very end of a drain */
  if (flags() & FLAG_DRAIN) return SK_PASS;
  tuple.remote_port = bpf_ntohs((__u16)LOOKUP(remote_port));
  tuple.local_port = port;
  if (bpf_map_lookup_elem(&exempt, &tuple.remote) || is_probe(&tuple)) {
    count(COUNT_EXEMPT);
    return SK_PASS;
  }
  return assign(ctx, ROLE_INBOUND);
}
