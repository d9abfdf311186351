/* Constants and maps of capture. Numbers here are mirrored in istio-cni/capture/kernel-names.ts (a test compares them). */
#pragma once
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define FAMILY_INET 2
#define FAMILY_INET6 10
#define LOOPBACK_IFINDEX 1

/* tc verdicts. NEXT lets later programs and filters decide; TC_ACT_OK would end the chain. */
#define NEXT -1
#define DROP 2

/* Marks. ztunnel's and the application's are compared in the low 12 bits. */
#define MARK_BITS 0xfff
#define MARK_ZTUNNEL 0x539 /* sockets of ztunnel */
#define MARK_TO_LO 0x77    /* captured segment: routing rule 80 delivers it locally */
#define MARK_APP 0x53a     /* accepted from ztunnel by the application: routing rule 81 keeps replies on lo */

enum role { ROLE_INBOUND, ROLE_OUTBOUND, ROLE_DNS_UNUSED, ROLE_HBONE, ROLES };

#define HBONE_PORT 15008

enum flag {
  FLAG_DRAIN = 1,   /* un-enrolling: new connections pass */
  FLAG_HOLD = 2,    /* no listener: drop the SYN instead of refusing it */
  FLAG_FORWARD = 4, /* TCP without a TCP socket of this namespace passes */
};

/* 0..3 count steered connections per role. */
enum counter {
  COUNT_FLAGGED = ROLES,
  COUNT_NO_LISTENER,
  COUNT_NO_MEMORY,
  COUNT_RAW_DROPPED,
  COUNT_RESET_SENT,
  COUNT_CONTROL_TO_LO,
  COUNT_EXEMPT,
  COUNT_RELABELLED,
  COUNTERS,
};

/* IPv6, or IPv4 in its mapped form. */
struct ip16 {
  __u32 word[4];
};

/* A connection as the pod sees it: ports in host order. */
struct tuple {
  struct ip16 remote;
  struct ip16 local;
  __u16 remote_port;
  __u16 local_port;
};

/* ztunnel's listeners by role. An entry vanishes by itself when its socket closes. */
struct {
  __uint(type, BPF_MAP_TYPE_SOCKMAP);
  __uint(max_entries, ROLES);
  __type(key, __u32);
  __type(value, __u64);
} listeners SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 64);
  __type(key, struct ip16);
  __type(value, __u32);
} pod_ips SEC(".maps");

/* Sources whose inbound connections go straight to the application. Empty in normal use. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 64);
  __type(key, struct ip16);
  __type(value, __u32);
} exempt SEC(".maps");

/* One per node: connections that the kubelet opened, with the time of connect in ns. */
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 4096);
  __type(key, struct tuple);
  __type(value, __u64);
} probes SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, COUNTERS);
  __type(key, __u32);
  __type(value, __u64);
} counters SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u32);
} config SEC(".maps");

/* The flag "captured for life". Losing this map means losing every captured connection to the wire. */
struct {
  __uint(type, BPF_MAP_TYPE_SK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, __u32);
} captured SEC(".maps");

/* Listeners that were adopted once, to tell a new ztunnel's from an old one's. */
struct {
  __uint(type, BPF_MAP_TYPE_SK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, __u32);
} adopted SEC(".maps");

static __always_inline void count(__u32 index) {
  __u64 *value = bpf_map_lookup_elem(&counters, &index);
  if (value) __sync_fetch_and_add(value, 1);
}

static __always_inline __u32 flags(void) {
  __u32 zero = 0;
  __u32 *value = bpf_map_lookup_elem(&config, &zero);
  return value ? *value : 0;
}

static __always_inline int is_pod_ip(struct ip16 *ip) { return bpf_map_lookup_elem(&pod_ips, ip) != 0; }

static __always_inline int is_mapped_ipv4(const struct ip16 *ip) {
  return !ip->word[0] && !ip->word[1] && ip->word[2] == bpf_htonl(0xffff);
}

static __always_inline int is_loopback(const struct ip16 *ip) {
  if (is_mapped_ipv4(ip)) return (ip->word[3] & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
  return !ip->word[0] && !ip->word[1] && !ip->word[2] && ip->word[3] == bpf_htonl(1);
}

static __always_inline void set_mapped_ipv4(struct ip16 *ip, __u32 address) {
  ip->word[0] = 0;
  ip->word[1] = 0;
  ip->word[2] = bpf_htonl(0xffff);
  ip->word[3] = address;
}

/* Reads a context field with one plain load: clang otherwise merges branches into arithmetic on the context pointer,
   which the verifier refuses. */
#define CTX_U32(ctx, type, field)                                                       \
  ({                                                                                    \
    __u64 _value;                                                                       \
    asm volatile("%0 = *(u32 *)(%1 + %2)"                                               \
                 : "=r"(_value)                                                         \
                 : "r"(ctx), "i"(__builtin_offsetof(type, field)));                     \
    (__u32) _value;                                                                     \
  })
