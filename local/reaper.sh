#!/bin/sh
# reaper.sh PREFIX STATEDIR CGROUP2 [CGROUP1...]: waits for the end of its standard input (the owner ended, however), then removes
# everything of the cluster: processes first (they hold namespaces and mounts), then names, control groups, state.
P=$1 S=$2 V2=$3
case $P in ambit-?*) ;; *) exit 1 ;; esac
shift 3
cat >/dev/null
i=0
while [ -e "$V2/$P/cgroup.kill" ] && [ $i -lt 250 ]; do
  echo 1 > "$V2/$P/cgroup.kill"
  grep -q 'populated 1' "$V2/$P/cgroup.events" || break
  sleep 0.02
  i=$((i + 1))
done
for n in /run/netns/"$P"-*; do
  [ -e "$n" ] || continue
  umount -l "$n" 2>/dev/null
  rm -f "$n"
done
# The directory itself was made a mount point, as `ip netns` does; undone when nobody else has a name there.
if [ -d /run/netns ] && [ -z "$(ls -A /run/netns)" ]; then
  umount /run/netns 2>/dev/null && rmdir /run/netns 2>/dev/null
fi
for h in "$V2" "$@"; do
  i=0
  while [ -d "$h/$P" ] && [ $i -lt 100 ]; do
    find "$h/$P" -depth -type d -exec rmdir {} + 2>/dev/null
    [ ! -d "$h/$P" ] || sleep 0.02
    i=$((i + 1))
  done
done
rm -rf "$S" "$S.log"
