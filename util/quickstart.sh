#!/bin/bash
# Installs, builds and shows it: a scheduler, and a program under it, on the best kind of kernel that there can be here.
#
# Usage: util/quickstart.sh [--no-install | --bin DIR]
#
#   --no-install   install no packages (only root can)
#   --bin DIR      nor build: the programs are in DIR
#
# Kinds of kernel, best first: a ghost kernel; ghostd with BPF; ghostd without; ghostd as an ordinary user; and where
# nothing is allowed, the simulation. With one of the first four it starts fifo_per_cpu_agent on CPUs 0-1, runs
# simple_exp's threads under it, prints what was scheduled, and stops everything that it has started. With the
# simulation it prints the schedule of a small workload. Exit status 0 if all went well.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
# Bazel wants a home for its cache.
export HOME="${HOME:-/root}"

install=true
bin=
case "${1-}" in
  "") ;;
  --no-install) install=false ;;
  --bin) install=false bin=${2:?the folder with the programs} ;;
  --help) sed -n '2,12s/^# \?//p' "$0"; exit 0 ;;
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

if $install && [ "$(id -u)" != 0 ]; then
  say "Not root: the packages of util/setup.sh must be there already"
elif $install; then
  say "Installing what the build needs"
  util/setup.sh || fail "the packages could not be installed"
fi

if [ -z "$bin" ]; then
  say "Building"
  bazel build -c opt ghostd ghostctl ghostsim fifo_per_cpu_agent simple_exp || fail "the build failed"
  bin=$PWD/bazel-bin
fi

say "What this machine can do (ghostctl doctor)"
"$bin/ghostctl" doctor | tee "$scratch/doctor"
case ${PIPESTATUS[0]} in 0 | 3) ;; *) fail "this machine lacks something: see the lines that say fix" ;; esac
step=$(sed -n 's/.*step \([1-5]\) of 5: .*/\1/p' "$scratch/doctor")

if [ "$step" = 5 ] && ! "$bin/ghostctl" status >/dev/null 2>&1; then
  say "No ghost kernel can be had here: the same policy on a simulated machine"
  "$bin/ghostsim" --policy fifo_per_cpu --cpus 2 --workload kernel/usermode/sim/workloads/mixed.txt \
    --trace "$scratch/trace" || fail "the simulation failed"
  say "The beginning of its schedule (virtual time in ns)"
  head -n 40 "$scratch/trace"
  say "Done. Next: bazel-bin/ghostsim --help; and the line ladder above says what would lift this machine"
  exit 0
fi

# An ordinary user without a session has no place for ghostfs: a private one.
if [ "$(id -u)" != 0 ] && [ -z "${XDG_RUNTIME_DIR-}" ]; then export GHOSTFS="${GHOSTFS:-$scratch/ghost}"; fi

cpus=0-1
if "$bin/ghostctl" status >/dev/null 2>&1; then
  say "A ghost kernel is there already"
  if [ "$(nproc)" = 1 ]; then cpus=0; fi
else
  say "Starting ghostd, the user-mode ghost kernel"
  options=()
  if [ "$(nproc)" = 1 ]; then options=(--cpus=2); fi # two virtual CPUs
  [ -z "${GHOSTFS-}" ] || options+=(--mount="$GHOSTFS")
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
