#!/usr/bin/env bash
# A container registry on the loopback address, for tests.
#
#   registry.sh start DIR PORT   serves DIR/data on 127.0.0.1:PORT, and returns when it answers
#   registry.sh stop DIR         ends the one that was started for DIR
#
# Needs docker-registry and curl.
set -euo pipefail

# Ten seconds in all; it starts within one.
TRIES=100

start() {
  local dir=$1 port=$2 pid
  if alive "$dir"; then echo "error: one runs for $dir" >&2; return 1; fi
  if curl --silent --output /dev/null "http://127.0.0.1:$port/"; then
    echo "error: something else answers on port $port" >&2
    return 1
  fi
  mkdir -p "$dir"
  cat > "$dir/config.yml" <<YAML
version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: "$(cd "$dir" && pwd)/data"}}
http: {addr: "127.0.0.1:$port"}
YAML
  docker-registry serve "$dir/config.yml" < /dev/null > "$dir/log" 2>&1 &
  pid=$!
  echo "$pid" > "$dir/pid"
  for _ in $(seq "$TRIES"); do
    if ! alive "$dir"; then break; fi
    if curl --silent --fail --output /dev/null "http://127.0.0.1:$port/v2/"; then return; fi
    sleep 0.1
  done
  cat "$dir/log" >&2
  stop "$dir"
  echo "error: the registry does not answer on port $port" >&2
  return 1
}

stop() {
  local dir=$1 pid
  if alive "$dir"; then
    pid=$(cat "$dir/pid")
    kill "$pid"
    for _ in $(seq "$TRIES"); do
      if ! alive "$dir"; then break; fi
      sleep 0.1
    done
    if alive "$dir"; then kill -KILL "$pid"; fi
  fi
  rm -f "$dir/pid"
}

# Whether the process of the pid file is the registry of this DIR, and no later one with its number.
alive() {
  local pid
  pid=$(cat "$1/pid" 2>/dev/null) || return 1
  tr '\0' '\n' 2>/dev/null < "/proc/$pid/cmdline" | grep --quiet --fixed-strings --line-regexp "$1/config.yml"
}

case "${1:-} $#" in
  "start 3") start "$2" "$3" ;;
  "stop 2") stop "$2" ;;
  *) echo "usage: $0 start DIR PORT | stop DIR" >&2; exit 2 ;;
esac
