// Shell scripts for an image that has `sh` and `ip`, be that busybox's or iproute2's. They say `ready` when they are.

/** What a script prints when it has done its work. */
export const READY = 'ready'

/** The router's own address towards the job; nobody else's (RFC 7600). */
const NEXT_HOP = '192.0.0.8'
const NEXT_HOP_V6 = 'fe80::192:0:0:8'

const HAS_IP = `set -eu
command -v ip >/dev/null || { echo 'it has no program ip' >&2; exit 3; }`

const STAY = `echo ${READY}
exec sleep 2147483647`

/**
 * Runs where the engine's bridge ends. All that comes from the job by `job0` goes by a table of its own, where only the
 * public internet is open; the engine's own routes stay for the router itself. The address that the engine gave becomes
 * the job's: the router just answers for it on the bridge.
 * Environment: CLOSED_V4, CLOSED_V6, OPEN_V6, IPV6 (empty = without).
 */
export const ROUTER = `${HAS_IP}
gateway_of() {
  while [ $# -gt 1 ]; do
    if [ "$1" = via ]; then echo $2; return; fi
    shift
  done
}
[ -e /sys/class/net/eth0 ] || { echo 'the engine has no bridge network (dockerd --bridge=none?)' >&2; exit 4; }
set -- $(ip -o -4 addr show dev eth0)
address=\${4%/*}
gateway=$(gateway_of $(ip -4 route show default))
address_v6=
if [ -e /proc/net/if_inet6 ]; then
  if [ -n "$IPV6" ]; then
    set -- $(ip -o -6 addr show dev eth0 scope global)
    range_v6=$4
    address_v6=\${4%/*}
    gateway_v6=$(gateway_of $(ip -6 route show default))
  fi
  if [ -n "$address_v6" ]; then ip -6 rule add from $address_v6 iif job0 lookup 100 pref 100; fi
  ip -6 rule add iif job0 lookup 101 pref 101
  ip -6 route add unreachable default metric 9999 table 100
  ip -6 route add unreachable default table 101
fi
# Only the job's own address comes from it.
ip -4 rule add from $address iif job0 lookup 100 pref 100
ip -4 rule add iif job0 lookup 101 pref 101
ip -4 route add unreachable default metric 9999 table 100
ip -4 route add unreachable default table 101
for net in $CLOSED_V4; do ip -4 route add unreachable $net table 100; done
ip -4 route add default via $gateway dev eth0 table 100
if [ -n "$address_v6" ]; then
  for net in $CLOSED_V6; do ip -6 route add unreachable $net table 100; done
  # Its own messages to neighbours bear an address of the link: answers to the other one are the job's.
  ip -6 addr add fe80::$address/64 dev eth0 nodad
  ip -6 addr del $range_v6 dev eth0
  ip -6 neigh add proxy $address_v6 dev eth0
  ip -6 route add $gateway_v6/128 dev eth0
  ip -6 route add $OPEN_V6 via $gateway_v6 dev eth0
  ip -6 route add $OPEN_V6 via $gateway_v6 dev eth0 table 100
fi
tries=0
until [ -e /sys/class/net/job0 ]; do
  tries=$((tries + 1))
  [ $tries -lt 1200 ] || { echo 'the network of the job did not come' >&2; exit 4; }
  sleep 0.05
done
ip -4 addr add ${NEXT_HOP}/32 dev lo
ip link set job0 up
ip -4 route add $address/32 dev job0 src ${NEXT_HOP}
ip -4 route del local $address dev eth0 table local
if [ -n "$address_v6" ]; then
  ip -6 addr add ${NEXT_HOP_V6}/64 dev job0
  ip -6 route add $address_v6/128 dev job0
fi
${STAY}
`

/**
 * Runs in the network that the job joins, which has nothing but a cable to the router: the first process that it sees is
 * the router's. The closed ranges are unreachable here too, so that an honest program learns it at once.
 * Environment: ADDRESS_V4, ADDRESS_V6 (empty = none), MTU, CLOSED_V4, CLOSED_V6, OPEN_V6.
 */
export const HOLDER = `${HAS_IP}
ip link add eth0 type veth
ip link set veth0 name job0
ip link set eth0 mtu $MTU
ip link set job0 mtu $MTU
ip link set job0 netns 1
ip -4 addr add $ADDRESS_V4/32 dev eth0
ip link set lo up
ip link set eth0 up
for net in $CLOSED_V4; do ip -4 route add unreachable $net; done
# Else the router's own questions and complaints would be taken for forged.
ip -4 route add ${NEXT_HOP}/32 dev eth0
ip -4 route add default via ${NEXT_HOP} dev eth0
if [ -e /proc/net/if_inet6 ]; then
  ip -6 route add unreachable default metric 9999
  if [ -n "$ADDRESS_V6" ]; then
    ip -6 addr add $ADDRESS_V6/128 dev eth0
    for net in $CLOSED_V6; do ip -6 route add unreachable $net; done
    ip -6 route add unreachable fe80::/10
    ip -6 route add ${NEXT_HOP_V6}/128 dev eth0
    ip -6 route add $OPEN_V6 via ${NEXT_HOP_V6} dev eth0
  fi
fi
${STAY}
`

/**
 * Runs in the network of the engine's machine: which addresses are its own, whether it knows IPv6, and whether this `ip`
 * can have one machine answer for another by that.
 */
export const HOST_ADDRESSES = `${HAS_IP}
ip -4 route show table local
if [ -e /proc/net/if_inet6 ]; then
  echo ipv6
  ip -6 route show table local
fi
case "$(ip neigh help 2>&1)" in *proxy*) echo proxy ;; esac
echo ${READY}
`

/**
 * Asks the kernel where packets would go; prints `open ADDRESS` for each of CLOSED that goes anywhere and
 * `closed ADDRESS` for each of OPEN that does not. FROM_V4 and FROM_V6 are empty, or say where packets come from that are
 * forwarded.
 */
export const ASK_ROUTES = `${HAS_IP}
goes() {
  case $1 in
    *:*) ip -6 route get $1 $FROM_V6 ;;
    *) ip -4 route get $1 $FROM_V4 ;;
  esac >/dev/null 2>&1
}
for address in $CLOSED; do if goes $address; then echo open $address; fi; done
for address in $OPEN; do if ! goes $address; then echo closed $address; fi; done
echo ${READY}
`

/** Tries to connect to PORT of each of ADDRESSES by whatever the image has for that. */
export const KNOCK = `set -u
knock() {
  if command -v nc >/dev/null; then nc -w 1 $1 $PORT
  elif command -v bash >/dev/null; then bash -c "exec 3<>/dev/tcp/$1/$PORT"
  elif command -v wget >/dev/null; then wget -T 1 -t 1 -O - http://$1:$PORT/
  elif command -v curl >/dev/null; then curl -m 1 http://$1:$PORT/
  fi
}
for address in $ADDRESSES; do knock $address </dev/null >/dev/null 2>&1; done
echo ${READY}
`
