/* egress (tc, egress of every Ethernet device of the pod): a TCP socket is captured at its first SYN and for life.
   Payload leaves TCP only with the full socket attached to the packet; payload without one is dropped. */
#pragma once
#include "packet.h"
#include "refuse.h"

#define STREAM 1

static __always_inline int has_outbound_listener(void) {
  __u32 role = ROLE_OUTBOUND;
  struct bpf_sock *listener = bpf_map_lookup_elem(&listeners, &role);
  if (!listener) return 0;
  bpf_sk_release(listener);
  return 1;
}

/* Is the other end of this socket a socket of ztunnel in this namespace? (One that drains has no listener.) */
static __always_inline int other_end_is_here(struct __sk_buff *skb, struct bpf_sock *sk) {
  struct bpf_sock_tuple t = {};
  if (skb->protocol == bpf_htons(ETH_P_IP)) {
    t.ipv4.saddr = sk->src_ip4;
    t.ipv4.daddr = sk->dst_ip4;
    t.ipv4.sport = bpf_htons(sk->src_port);
    t.ipv4.dport = (__be16)sk->dst_port;
    return is_owned(skb, &t, sizeof t.ipv4);
  }
  t.ipv6.saddr[0] = sk->src_ip6[0];
  t.ipv6.saddr[1] = sk->src_ip6[1];
  t.ipv6.saddr[2] = sk->src_ip6[2];
  t.ipv6.saddr[3] = sk->src_ip6[3];
  t.ipv6.daddr[0] = sk->dst_ip6[0];
  t.ipv6.daddr[1] = sk->dst_ip6[1];
  t.ipv6.daddr[2] = sk->dst_ip6[2];
  t.ipv6.daddr[3] = sk->dst_ip6[3];
  t.ipv6.sport = bpf_htons(sk->src_port);
  t.ipv6.dport = (__be16)sk->dst_port;
  return is_owned(skb, &t, sizeof t.ipv6);
}

static __always_inline int send_captured(struct __sk_buff *skb, struct bpf_sock *sk, int is_syn) {
  if (has_outbound_listener()) return to_loopback(skb);
  count(COUNT_NO_LISTENER);
  if (other_end_is_here(skb, sk)) return to_loopback(skb);
  if (is_syn && (flags() & FLAG_HOLD)) return DROP; /* the retransmitted SYN meets the next ztunnel */
  return refuse(skb, sk, is_syn);
}

static __always_inline int from_tcp_socket(struct __sk_buff *skb, struct bpf_sock *sk) {
  int is_syn = sk->state == BPF_TCP_SYN_SENT;
  if (bpf_sk_storage_get(&captured, sk, 0, 0)) return send_captured(skb, sk, is_syn);
  if (!is_syn || (skb->mark & MARK_BITS) == MARK_ZTUNNEL || (flags() & FLAG_DRAIN)) return NEXT;
  if (!bpf_sk_storage_get(&captured, sk, 0, BPF_SK_STORAGE_GET_F_CREATE)) {
    count(COUNT_NO_MEMORY); /* cannot be remembered, therefore must not start */
    return DROP;
  }
  count(COUNT_FLAGGED);
  return send_captured(skb, sk, 1);
}

static __always_inline int drop_raw(void) {
  count(COUNT_RAW_DROPPED);
  return DROP;
}

/* Control segments without payload, such as the stack's own SYN-ACK, RST and TIME_WAIT ACK, may pass. */
static __always_inline int from_stack(struct __sk_buff *skb, struct packet *p, struct tcp_header *tcp) {
  if (p->fragment || load_ip(skb, p, p->l4_offset, tcp, sizeof *tcp)) return drop_raw();
  if ((tcp->flags & (TCP_SYN | TCP_ACK)) == TCP_SYN) return drop_raw();
  if (p->total > p->l4_offset + (tcp->data_offset >> 4) * 4) return drop_raw();
  int owned;
  if (p->ethertype == bpf_htons(ETH_P_IP)) {
    p->tuple.ipv4.sport = tcp->source_port;
    p->tuple.ipv4.dport = tcp->destination_port;
    owned = is_owned(skb, &p->tuple, sizeof p->tuple.ipv4);
  } else {
    p->tuple.ipv6.sport = tcp->source_port;
    p->tuple.ipv6.dport = tcp->destination_port;
    owned = is_owned(skb, &p->tuple, sizeof p->tuple.ipv6);
  }
  if (!owned) return NEXT;
  count(COUNT_CONTROL_TO_LO); /* for example the RST to ztunnel's end after the application died */
  return to_loopback(skb);
}

/* The stack itself, a raw or packet socket, or forwarding. */
static __always_inline int from_no_socket(struct __sk_buff *skb) {
  int is_ztunnel = (skb->mark & MARK_BITS) == MARK_ZTUNNEL;
  struct packet p = {};
  if (read_ethernet(skb, &p)) return NEXT; /* shorter than an Ethernet header with a protocol */
  if (p.ethertype == bpf_htons(ETH_P_IP)) {
    if (read_ipv4(skb, &p)) return NEXT; /* shorter than an IP header: nobody can read it */
  } else if (p.ethertype == bpf_htons(ETH_P_IPV6)) {
    if (read_ipv6(skb, &p) || is_extension(p.protocol)) return is_ztunnel ? NEXT : drop_raw();
  } else {
    return NEXT;
  }
  if (p.protocol != IPPROTO_TCP || (flags() & FLAG_FORWARD)) return NEXT;
  struct tcp_header tcp;
  return from_stack(skb, &p, &tcp);
}

SEC("tc") int egress(struct __sk_buff *skb) {
  struct bpf_sock *sk = skb->sk;
  if (sk) sk = bpf_sk_fullsock(sk);
  if (sk && sk->type == STREAM && sk->protocol == IPPROTO_TCP) return from_tcp_socket(skb, sk);
  return from_no_socket(skb);
}
