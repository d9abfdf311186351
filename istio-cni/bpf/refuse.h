/* Answers a captured socket with a RST made from the socket's own state, so that no header of the packet is trusted.
   The application sees ECONNREFUSED (SYN) or ECONNRESET within a millisecond. */
#pragma once
#include "packet.h"

#define TCP_BYTES 20

struct reset_segment {
  struct tcp_header tcp;
  __be16 window;
  __be16 checksum; /* never looked at: the frame does not leave the machine */
  __be16 urgent;
};

static __always_inline void fill_reset(struct reset_segment *out, struct bpf_sock *sk, struct bpf_tcp_sock *tcp,
                                       int is_syn) {
  out->tcp.source_port = (__be16)sk->dst_port;
  out->tcp.destination_port = bpf_htons(sk->src_port);
  out->tcp.sequence = is_syn ? 0 : bpf_htonl(tcp->rcv_nxt);
  out->tcp.acknowledged = is_syn ? bpf_htonl(tcp->snd_una + 1) : 0;
  out->tcp.data_offset = (TCP_BYTES / 4) << 4;
  out->tcp.flags = is_syn ? TCP_RST | TCP_ACK : TCP_RST;
}

static __always_inline int write_ipv4_reset(struct __sk_buff *skb, struct bpf_sock *sk, struct reset_segment *tcp) {
  struct iphdr ip = {.version = 4,
                     .ihl = 5,
                     .tot_len = bpf_htons(sizeof ip + TCP_BYTES),
                     .ttl = 64,
                     .protocol = IPPROTO_TCP,
                     .saddr = sk->dst_ip4,
                     .daddr = sk->src_ip4};
  __s64 sum = bpf_csum_diff(0, 0, (void *)&ip, sizeof ip, 0);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  ip.check = ~sum;
  if (bpf_skb_change_tail(skb, ETHERNET_BYTES + sizeof ip + TCP_BYTES, 0)) return -1;
  if (bpf_skb_store_bytes(skb, ETHERNET_BYTES, &ip, sizeof ip, 0)) return -1;
  return bpf_skb_store_bytes(skb, ETHERNET_BYTES + sizeof ip, tcp, TCP_BYTES, 0);
}

static __always_inline int write_ipv6_reset(struct __sk_buff *skb, struct bpf_sock *sk, struct reset_segment *tcp) {
  struct ipv6hdr ip = {
      .version = 6, .payload_len = bpf_htons(TCP_BYTES), .nexthdr = IPPROTO_TCP, .hop_limit = 64};
  __u32 *source = (void *)&ip.saddr;
  __u32 *destination = (void *)&ip.daddr;
  source[0] = sk->dst_ip6[0];
  source[1] = sk->dst_ip6[1];
  source[2] = sk->dst_ip6[2];
  source[3] = sk->dst_ip6[3];
  destination[0] = sk->src_ip6[0];
  destination[1] = sk->src_ip6[1];
  destination[2] = sk->src_ip6[2];
  destination[3] = sk->src_ip6[3];
  if (bpf_skb_change_tail(skb, ETHERNET_BYTES + sizeof ip + TCP_BYTES, 0)) return -1;
  if (bpf_skb_store_bytes(skb, ETHERNET_BYTES, &ip, sizeof ip, 0)) return -1;
  return bpf_skb_store_bytes(skb, ETHERNET_BYTES + sizeof ip, tcp, TCP_BYTES, 0);
}

static __always_inline int refuse(struct __sk_buff *skb, struct bpf_sock *sk, int is_syn) {
  struct bpf_tcp_sock *state = bpf_tcp_sock(sk);
  if (!state) return DROP;
  struct reset_segment reset = {};
  fill_reset(&reset, sk, state, is_syn);
  __u8 version;
  if (load(skb, 0, &version, 1)) return DROP;
  if ((version >> 4) == 4 ? write_ipv4_reset(skb, sk, &reset) : write_ipv6_reset(skb, sk, &reset)) return DROP;
  __u8 macs[12]; /* swapped: a frame addressed to our own device */
  if (bpf_skb_load_bytes(skb, 0, macs, sizeof macs)) return DROP;
  bpf_skb_store_bytes(skb, 0, macs + 6, 6, 0);
  bpf_skb_store_bytes(skb, 6, macs, 6, 0);
  count(COUNT_RESET_SENT);
  return bpf_redirect(skb->ifindex, BPF_F_INGRESS);
}
