# shellcheck shell=bash
# What measurements of whole tasks share: a chain, an owner and a processor, in a folder that goes when the script ends. To be sourced.
#
# POX  the program to measure; the release build if unset

repository=$PWD
target=${CARGO_TARGET_DIR:-$PWD/target}
folder=$(mktemp -d)
children=()

# begin PORT: starts the chain there, and gives both their keys and coins. The owner's is the home of what follows.
begin() {
  pox=${POX:-}
  if [ -z "$pox" ]; then
    cargo build --release --locked --quiet --package pox
    pox=$target/release/pox
  fi
  export HOME=$folder POX_RPC=http://127.0.0.1:$1
  cd "$folder" || exit
  "$pox" devnet --data chain --listen "127.0.0.1:$1" > /dev/null 2>&1 & children+=($!)
  until POX_HOME=nobody "$pox" offers > /dev/null 2>&1; do sleep 0.2; done
  for who in owner processor; do
    POX_HOME=$folder/$who "$pox" key new > /dev/null 2>&1
    POX_HOME=$folder/$who "$pox" fund > /dev/null 2>&1
  done
  export POX_HOME=$folder/owner
}

# processor ARGUMENT…: starts the processor's service, and waits for its offer. Each line of its log begins with the time.
processor() {
  POX_HOME=$folder/processor "$pox" node --allow-dir "$folder" "$@" 2> >(stamp > node.log) > /dev/null & children+=($!)
  until [ "$("$pox" offers --json 2> /dev/null)" != '[]' ]; do sleep 0.2; done
}

stamp() { while read -r line; do echo "$EPOCHREALTIME $line"; done; }

# program NAME: compiles the C program on standard input, static.
program() { cc -static -O2 -x c -o "$1" -; }

# What this machine's sandbox may do without, in a task file.
accept_missing='accept_missing: [user-namespace, cgroup-namespace, other-user, landlock, memory-limit, cpu-limit, pids-limit]'

# median FILE: of its lines.
median() { sort -n "$1" | awk '{ values[NR] = $1 } END { print values[int((NR + 1) / 2)] }'; }

finish() {
  kill "${children[@]}" 2> /dev/null || true
  rm -rf "$folder"
}
trap finish EXIT
