/* adopt (tc, never attached): run with BPF_PROG_TEST_RUN by a thread inside the pod's namespace. Puts that namespace's
   listener into the listener map. Needs no descriptor and no pid of ztunnel.
   cb[0] port, cb[1] role, cb[2] source port and cb[4] host part of 127.0.0.0/8 (both vary the pick among several
   SO_REUSEPORT listeners), cb[3] 1: only a listener never adopted before. */
#pragma once
#include "maps.h"

enum adopt_result {
  ADOPT_OK,
  ADOPT_NO_SOCKET,
  ADOPT_NOT_LISTENING,
  ADOPT_OLD,
  ADOPT_BUSY,    /* the map is locked: try again */
  ADOPT_FOREIGN, /* without ztunnel's mark: the application's own listener */
};

static __always_inline int adopt_listener(struct __sk_buff *skb, struct bpf_sock *listener) {
  __u32 role = skb->cb[1];
  if (listener->state != BPF_TCP_LISTEN) return ADOPT_NOT_LISTENING;
  if ((listener->mark & MARK_BITS) != MARK_ZTUNNEL) return ADOPT_FOREIGN;
  if (skb->cb[3] && bpf_sk_storage_get(&adopted, listener, 0, 0)) return ADOPT_OLD;
  if (bpf_map_update_elem(&listeners, &role, listener, 0)) return ADOPT_BUSY;
  bpf_sk_storage_get(&adopted, listener, 0, BPF_SK_STORAGE_GET_F_CREATE);
  return ADOPT_OK;
}

SEC("tc") int adopt(struct __sk_buff *skb) {
  struct bpf_sock_tuple t = {};
  t.ipv4.saddr = bpf_htonl(0x7f000001);
  t.ipv4.daddr = bpf_htonl(0x7f000000 | (skb->cb[4] & 0xffffff));
  t.ipv4.sport = bpf_htons(skb->cb[2]);
  t.ipv4.dport = bpf_htons(skb->cb[0]);
  struct bpf_sock *listener = bpf_sk_lookup_tcp(skb, &t, sizeof t.ipv4, BPF_F_CURRENT_NETNS, 0);
  if (!listener) return ADOPT_NO_SOCKET;
  int result = adopt_listener(skb, listener);
  bpf_sk_release(listener);
  return result;
}
