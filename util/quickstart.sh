#!/bin/bash
# Installs, builds and shows it: ghostd (where the kernel is no ghost kernel), a scheduler, and a program under it.
#
# Usage: util/quickstart.sh [--no-install]
#
# Starts fifo_per_cpu_agent on CPUs 0-1, runs simple_exp's threads under it, prints what was scheduled, and stops
# everything that it has started. Exit status 0 if all went well.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
# Bazel wants a home for its cache.
export HOME="${HOME:-/root}"

install=true
case "${1-}" in
  "") ;;
  --no-install) install=false ;;
  --help) sed -n '2,7s/^# \?//p' "$0"; exit 0 ;;
  *) echo "quickstart.sh: unknown argument: $1" >&2; echo "hint: util/quickstart.sh --help" >&2; exit 2 ;;
esac

say() { printf '\n== %s\n' "$*"; }

fail() {
  echo "quickstart.sh: $*" >&2
  exit 1
}

scratch=$(mktemp -d)
ghostd_pid=
agent_pid=

# Ends one of ours and waits for its end; SIGINT is the graceful one.
stop() {
  [ -n "$1" ] || return 0
  kill -INT "$1" 2>/dev/null
  wait "$1"
}

cleanup() {
  stop "$agent_pid"
  stop "$ghostd_pid"
  rm -rf "$scratch"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# start NAME TEXT COMMAND...: starts COMMAND and returns when a line of its output contains TEXT, its pid in $started.
# What it prints is shown until then.
start() {
  local name=$1 text=$2 line fd
  shift 2
  mkfifo "$scratch/$name"
  # A session of its own: Ctrl-C must reach this script first, which then ends things in order.
  setsid "$@" >"$scratch/$name" &
  started=$!
  exec {fd}<"$scratch/$name"
  while IFS= read -r -t 60 -u "$fd" line; do
    printf '   %s\n' "$line"
    case $line in *"$text"*) cat <&"$fd" >/dev/null & return 0 ;; esac
  done
  return 1
}

if $install; then
  say "Installing what the build needs"
  util/setup.sh || fail "the packages could not be installed"
fi

say "Building"
bazel build -c opt ghostd ghostctl fifo_per_cpu_agent simple_exp || fail "the build failed"
bin=$PWD/bazel-bin

say "What this machine can do (ghostctl doctor)"
"$bin/ghostctl" doctor || fail "this machine lacks something: see the lines that say fix"

cpus=0-1
if "$bin/ghostctl" status >/dev/null 2>&1; then
  say "A ghost kernel is there already"
  if [ "$(nproc)" = 1 ]; then cpus=0; fi
else
  say "Starting ghostd, the user-mode ghost kernel"
  options=()
  if [ "$(nproc)" = 1 ]; then options=(--cpus=2); fi # two virtual CPUs
  start ghostd "serving" "$bin/ghostd" "${options[@]}" || fail "ghostd did not start"
  ghostd_pid=$started
fi

say "Starting the scheduler: fifo_per_cpu_agent --ghost_cpus $cpus"
start agent "ghOSt active" "$bin/fifo_per_cpu_agent" --ghost_cpus "$cpus" || fail "the agent did not start"
agent_pid=$started

say "Running simple_exp, whose threads it schedules"
"$bin/simple_exp" 2>/dev/null || fail "simple_exp failed"

say "What was scheduled (ghostctl status)"
"$bin/ghostctl" status || fail "no status"

say "Stopping everything"
stop "$agent_pid" || fail "the agent did not end well"
agent_pid=
if [ -n "$ghostd_pid" ]; then
  stop "$ghostd_pid" || fail "ghostd did not end well"
  ghostd_pid=
fi
say "Done. Next: bazel-bin/ghostctl run --policy fifo_per_cpu --cpus $cpus -- YOUR PROGRAM"
