/* Reading packets in tc programs, independent of linear data: every read is bounds-checked by the helper. */
#pragma once
#include "maps.h"

struct tcp_header {
  __be16 source_port;
  __be16 destination_port;
  __be32 sequence;
  __be32 acknowledged;
  __u8 data_offset; /* high nibble, in words */
  __u8 flags;
};

#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

#define MAX_EXTENSION_HEADERS 6

enum extension {
  EXT_HOP_BY_HOP = 0,
  EXT_ROUTING = 43,
  EXT_FRAGMENT = 44,
  EXT_AUTHENTICATION = 51,
  EXT_DESTINATION = 60,
  EXT_MOBILITY = 135,
};

#define ETHERNET_BYTES 14
#define ETHERTYPE_OFFSET 12
#define VLAN_BYTES 4
#define MAX_VLAN_TAGS 2

/* What the egress program needs to know of a packet that has no TCP socket. Read from the frame's own bytes: a packet
   socket may claim any protocol beside them. */
struct packet {
  __be16 ethertype;  /* after VLAN tags */
  __u32 ip_offset;   /* from the start of the frame */
  __u8 protocol;    /* after extension headers */
  __u8 fragment;    /* part of a fragmented packet */
  __u32 l4_offset;  /* from the network header */
  __u32 total;      /* network header to the end, by the header's own word */
  struct bpf_sock_tuple tuple; /* addresses; ports are filled in by the caller */
};

static __always_inline int read_ethernet(struct __sk_buff *skb, struct packet *p) {
  if (bpf_skb_load_bytes(skb, ETHERTYPE_OFFSET, &p->ethertype, 2)) return -1;
  p->ip_offset = ETHERNET_BYTES;
#pragma unroll
  for (int i = 0; i < MAX_VLAN_TAGS; i++) {
    if (p->ethertype != bpf_htons(ETH_P_8021Q) && p->ethertype != bpf_htons(ETH_P_8021AD)) break;
    if (bpf_skb_load_bytes(skb, p->ip_offset + 2, &p->ethertype, 2)) return -1;
    p->ip_offset += VLAN_BYTES;
  }
  return 0;
}

static __always_inline int load_ip(struct __sk_buff *skb, const struct packet *p, __u32 offset, void *to, __u32 length) {
  return bpf_skb_load_bytes(skb, p->ip_offset + offset, to, length);
}

static __always_inline int load(struct __sk_buff *skb, __u32 offset, void *to, __u32 length) {
  return bpf_skb_load_bytes_relative(skb, offset, to, length, BPF_HDR_START_NET);
}

static __always_inline int is_extension(__u8 protocol) {
  return protocol == EXT_HOP_BY_HOP || protocol == EXT_ROUTING || protocol == EXT_FRAGMENT ||
         protocol == EXT_AUTHENTICATION || protocol == EXT_DESTINATION || protocol == EXT_MOBILITY;
}

static __always_inline int read_ipv4(struct __sk_buff *skb, struct packet *p) {
  struct iphdr h;
  if (load_ip(skb, p, 0, &h, sizeof h)) return -1;
  p->protocol = h.protocol;
  p->l4_offset = h.ihl * 4;
  p->total = bpf_ntohs(h.tot_len);
  p->fragment = (h.frag_off & bpf_htons(0x3fff)) != 0;
  p->tuple.ipv4.saddr = h.saddr;
  p->tuple.ipv4.daddr = h.daddr;
  return 0;
}

/* The protocol stays an extension header's number when the chain is longer than we follow. */
static __always_inline int read_ipv6(struct __sk_buff *skb, struct packet *p) {
  struct ipv6hdr h;
  if (load_ip(skb, p, 0, &h, sizeof h)) return -1;
  p->protocol = h.nexthdr;
  p->l4_offset = sizeof h;
  p->total = sizeof h + bpf_ntohs(h.payload_len);
  p->fragment = 0;
  __builtin_memcpy(p->tuple.ipv6.saddr, &h.saddr, 16);
  __builtin_memcpy(p->tuple.ipv6.daddr, &h.daddr, 16);
#pragma unroll
  for (int i = 0; i < MAX_EXTENSION_HEADERS; i++) {
    __u8 next[2];
    if (!is_extension(p->protocol)) break;
    if (load_ip(skb, p, p->l4_offset, next, 2)) return -1;
    if (p->protocol == EXT_FRAGMENT) {
      p->fragment = 1;
      p->l4_offset += 8;
    } else if (p->protocol == EXT_AUTHENTICATION) {
      p->l4_offset += (next[1] + 2) * 4;
    } else {
      p->l4_offset += (next[1] + 1) * 8;
    }
    p->protocol = next[0];
  }
  return 0;
}

/* Does a connected socket of THIS namespace own the tuple? A listener owns nothing. */
static __always_inline int is_owned(struct __sk_buff *skb, struct bpf_sock_tuple *tuple, __u32 length) {
  struct bpf_sock *owner = bpf_skc_lookup_tcp(skb, tuple, length, BPF_F_CURRENT_NETNS, 0);
  if (!owner) return 0;
  int state = owner->state;
  bpf_sk_release(owner);
  return state != BPF_TCP_LISTEN;
}

/* Turns the packet around: it arrives on lo and is routed locally by its mark. */
static __always_inline int to_loopback(struct __sk_buff *skb) {
  if (skb->vlan_present) bpf_skb_vlan_pop(skb);
  __u8 zero_mac[6] = {}; /* lo's own address: the frame counts as PACKET_HOST */
  bpf_skb_store_bytes(skb, 0, zero_mac, 6, 0);
  skb->mark = MARK_TO_LO;
  return bpf_redirect(LOOPBACK_IFINDEX, BPF_F_INGRESS);
}
