/* loopback (tc, ingress of lo): ztunnel dials the application at the pod's address with its own mark. Its SYN is sent
   round once more with the application's mark and without its output route. Then steer sees lo and a pod address (the
   application's listener), and the socket that the application accepts inherits the mark, which keeps replies on lo. */
#pragma once
#include "packet.h"

SEC("tc") int loopback(struct __sk_buff *skb) {
  if ((skb->mark & MARK_BITS) != MARK_ZTUNNEL) return NEXT;
  struct ip16 destination = {};
  __u32 l4_offset;
  __u8 version;
  if (load(skb, 0, &version, 1)) return NEXT;
  if ((version >> 4) == 4) {
    struct iphdr h;
    if (load(skb, 0, &h, sizeof h) || h.protocol != IPPROTO_TCP) return NEXT;
    set_mapped_ipv4(&destination, h.daddr);
    l4_offset = h.ihl * 4;
  } else {
    struct ipv6hdr h;
    if (load(skb, 0, &h, sizeof h) || h.nexthdr != IPPROTO_TCP) return NEXT;
    __builtin_memcpy(&destination, &h.daddr, 16);
    l4_offset = sizeof h;
  }
  struct tcp_header tcp;
  if (load(skb, l4_offset, &tcp, sizeof tcp)) return NEXT;
  if ((tcp.flags & (TCP_SYN | TCP_ACK)) != TCP_SYN || !is_pod_ip(&destination)) return NEXT;
  count(COUNT_RELABELLED);
  skb->mark = MARK_APP;
  return bpf_redirect(LOOPBACK_IFINDEX, BPF_F_INGRESS);
}
