#!/bin/sh
# Brings a Docker engine up on Debian or Ubuntu, as root and without systemd if need be.
#   scripts/docker-up.sh          starts one unless one answers already, installing docker.io when it is missing
#   scripts/docker-up.sh --stop   stops the one that this script has started, and no other
set -eu

SOCKET=/var/run/docker.sock
PIDFILE=/var/run/docker.pid
STATE=/var/run/opthub-runner-docker
LOG=/var/log/opthub-runner-docker.log
SELF=$0
WAIT_SECONDS=60

say() { printf '%s\n' "docker-up: $*" >&2; }
fail() { # what, how to fix
  say "$1"
  [ $# -lt 2 ] || say "$2"
  exit 1
}

answers() {
  if command -v docker >/dev/null 2>&1; then
    timeout 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1
  elif command -v curl >/dev/null 2>&1 && [ -S "$SOCKET" ]; then
    timeout 10 curl -fs --unix-socket "$SOCKET" http://docker/_ping >/dev/null 2>&1
  else
    return 1
  fi
}

# A process is the same only if its start time is the same too: pids come again.
start_time() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }
# One whose body nobody has fetched is dead, too.
lives() {
  case "$(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -c1)" in
    '' | Z | X) return 1 ;;
  esac
}
is_dockerd() { [ "$(cat "/proc/$1/comm" 2>/dev/null)" = dockerd ] && lives "$1"; }

stop() {
  [ -f "$STATE" ] || { say 'this script has started no engine; nothing is stopped'; exit 0; }
  read -r how started < "$STATE"
  if [ "$how" = systemd ]; then
    systemctl stop docker.socket docker.service
  elif is_dockerd "$how" && [ "$(start_time "$how")" = "$started" ]; then
    kill "$how"
    n=0
    while [ "$(start_time "$how")" = "$started" ] && is_dockerd "$how"; do
      n=$((n + 1))
      [ "$n" -le 400 ] || fail "dockerd (pid $how) does not end" "See $LOG."
      sleep 0.1
    done
  else
    say 'the engine that this script had started is gone already'
  fi
  rm -f "$STATE"
  say 'stopped'
  exit 0
}

check_machine() {
  [ "$(uname -s)" = Linux ] || fail 'this script is for Debian and Ubuntu' 'Install Docker Desktop: https://docs.docker.com/get-docker/'
  [ "$(id -u)" = 0 ] || fail 'starting an engine takes root' "Run it as root: sudo $SELF"
}

install() {
  command -v dockerd >/dev/null 2>&1 && return 0
  command -v apt-get >/dev/null 2>&1 ||
    fail 'dockerd is not installed, and this is neither Debian nor Ubuntu' 'Install Docker Engine: https://docs.docker.com/engine/install/'
  say 'installing docker.io (apt-get) …'
  DEBIAN_FRONTEND=noninteractive
  export DEBIAN_FRONTEND
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends docker.io iptables; } >"$LOG" 2>&1 || {
    tail -n 5 "$LOG" >&2
    fail 'apt-get could not install docker.io' "See $LOG; check the network and /etc/apt/sources.list."
  }
  # Its installation may have started it.
  if answers; then remember; fi
}

has_systemd() { [ -d /run/systemd/system ] && command -v systemctl >/dev/null 2>&1; }

# Notes down what --stop is to stop.
remember() {
  if has_systemd; then
    echo 'systemd -' >"$STATE"
  else
    pid=$(cat "$PIDFILE")
    echo "$pid $(start_time "$pid")" >"$STATE"
  fi
}

# What a killed engine leaves behind keeps the next one from starting.
clear_stale() {
  if [ -f "$PIDFILE" ] && ! is_dockerd "$(cat "$PIDFILE")"; then rm -f "$PIDFILE"; fi
  contained=/var/run/docker/containerd/containerd.pid
  if [ -f "$contained" ] && ! lives "$(cat "$contained")"; then rm -f "$contained"; fi
  if [ -S /run/containerd/containerd.sock ] && ! timeout 5 ctr version >/dev/null 2>&1; then
    rm -f /run/containerd/containerd.sock
  fi
}

# Bare machines may come without control groups.
mount_cgroups() {
  [ -d /sys/fs/cgroup ] || return 0
  [ -n "$(ls /sys/fs/cgroup)" ] || mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null || true
}

# Starts dockerd with the given options and waits until it answers; 1 when it ends before.
launch() {
  clear_stale
  : >"$LOG"
  setsid nohup dockerd --pidfile "$PIDFILE" -H "unix://$SOCKET" "$@" </dev/null >>"$LOG" 2>&1 &
  pid=$!
  n=0
  until answers; do
    n=$((n + 1))
    if ! lives "$pid" || [ "$n" -gt $((WAIT_SECONDS * 5)) ]; then
      kill "$pid" 2>/dev/null || true
      wait "$pid" 2>/dev/null || true
      return 1
    fi
    sleep 0.2
  done
  echo "$pid $(start_time "$pid")" >"$STATE"
}

start() {
  if has_systemd && systemctl start docker 2>/dev/null && answers; then
    remember
    return
  fi
  mount_cgroups
  launch && return
  grep -Eqi 'iptables|nf_tables|bridge|network controller' "$LOG" || give_up
  if command -v iptables-legacy >/dev/null 2>&1; then
    say 'the network could not be set up; trying the older iptables …'
    legacy=$(mktemp -d)
    for name in iptables ip6tables; do
      if older=$(command -v "$name-legacy"); then ln -s "$older" "$legacy/$name"; fi
    done
    PATH=$legacy:$PATH launch && return
  fi
  say 'the network could not be set up; trying without firewall rules (containers reach this machine only) …'
  launch --iptables=false --ip6tables=false && return
  # It would take away the bridge of an engine that runs beside.
  for other in /proc/[0-9]*; do
    if is_dockerd "${other#/proc/}"; then give_up; fi
  done
  say 'trying without any network for containers …'
  launch --iptables=false --ip6tables=false --bridge=none && return
  give_up
}

give_up() {
  grep -E 'level=(error|fatal)|failed|Error' "$LOG" | tail -n 5 >&2 || true
  fail 'dockerd does not start here' "See $LOG. In a container, start it with --privileged, or mount the host's $SOCKET into it."
}

case "${1:-}" in
  '') ;;
  --stop) stop ;;
  *) fail "unknown argument: $1" "Usage: $SELF [--stop]" ;;
esac

if answers; then
  say 'an engine answers already; nothing to do'
  exit 0
fi
if [ -n "${DOCKER_HOST:-}" ]; then
  fail "no engine answers at DOCKER_HOST=$DOCKER_HOST" 'Start that one, or unset DOCKER_HOST and run this script again.'
fi
check_machine
# Whatever context the docker command is set to.
DOCKER_HOST=unix://$SOCKET
export DOCKER_HOST
install
answers || start
say "an engine runs at unix://$SOCKET (its log: $LOG)"
say "stop it with: $SELF --stop"
