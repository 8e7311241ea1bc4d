# What end-to-end scripts share: the programs, a kernel to run them on, and processes that can be talked to.
# Source lib.sh first, then this file.
#
# Over ghostd by default, each script its own, at $GHOSTFS in a directory of the script's. With GHOSTFS set from outside
# the script runs over that kernel (a real one, say), and cases that need ghostd skip themselves with e_needs_ghostd.
#
# A process with a name NAME has its pid in ${PID[NAME]}; its standard input and output are pipes, its standard error is
# $T/NAME.err. Nothing here waits for a fixed time: e_expect and e_end have deadlines, in seconds.

E_DEADLINE=60
# Not Bazel's own folder: ordinary users, whom some cases play, may not look into that.
T=$(mktemp -d /tmp/e2e.XXXXXX)
declare -A PID IN OUT
LINE=      # what e_expect found
STATUS=    # how the process of the last e_end ended

# The folder of the programs: the runfiles of a test, or bazel-bin by hand.
if [ -n "${TEST_SRCDIR-}" ]; then BIN=$TEST_SRCDIR/$TEST_WORKSPACE; else BIN=${BIN:-$PWD/bazel-bin}; fi
E2E=$BIN/tests/e2e
GHOSTCTL=$BIN/ghostctl

E_OWN_KERNEL=false
if [ -z "${GHOSTFS-}" ]; then
  E_OWN_KERNEL=true
  GHOSTFS=$T/ghost
fi
export GHOSTFS

# The agent program of e_agent: scripts that any of them has to pass run once for each, with AGENT=NAME.
AGENT=${AGENT:-fifo_per_cpu_agent}
# Options that it always has.
read -ra AGENT_OPTIONS <<<"${AGENT_OPTIONS-}"

# The CPUs that tests use: two, or what there is.
if [ "$(nproc)" -ge 2 ]; then CPUS=0-1; else CPUS=0; fi
# By what to relax what a test expects of a machine's speed: QEMU's interpreter (tests/vm/run.sh says so) is no machine.
SLOWNESS=1
[ "${VM_ACCEL:-}" != tcg ] || SLOWNESS=10

# e_start NAME COMMAND...: in the background.
e_start() {
  local name=$1 in out fd
  shift
  rm -f "$T/$name.in" "$T/$name.out"
  mkfifo "$T/$name.in" "$T/$name.out"
  (
    # Others' pipes: whoever holds the write end keeps their input from ending.
    for fd in "${IN[@]}" "${OUT[@]}"; do [ -z "$fd" ] || exec {fd}>&-; done
    exec "$@"
  ) <"$T/$name.in" >"$T/$name.out" 2>"$T/$name.err" &
  PID[$name]=$!
  exec {in}>"$T/$name.in" {out}<"$T/$name.out"
  IN[$name]=$in
  OUT[$name]=$out
}

# e_tell NAME LINE: to its standard input.
e_tell() { printf '%s\n' "$2" >&"${IN[$1]}"; }

# e_close NAME: ends its standard input.
e_close() {
  local fd=${IN[$1]}
  [ -z "$fd" ] || exec {fd}>&-
  IN[$1]=
}

# e_expect NAME TEXT [SECONDS]: reads its output up to a line that contains TEXT, which is left in $LINE.
e_expect() {
  local deadline=$((SECONDS + ${3:-$E_DEADLINE}))
  while IFS= read -r -t $((deadline > SECONDS ? deadline - SECONDS : 1)) -u "${OUT[$1]}" LINE; do
    case $LINE in *"$2"*) return 0 ;; esac
  done
  echo "no '$2' from $1; its errors: $(cat "$T/$1.err")" >&2
  return 1
}

# e_ask NAME LINE TEXT [SECONDS]: tells it a line and expects an answer.
e_ask() { e_tell "$1" "$2" && e_expect "$1" "$3" "${4-}"; }

# e_end NAME [SECONDS]: waits for its end; its exit status (128 + signal) is left in $STATUS. Fails at the deadline.
e_end() {
  local pid=${PID[$1]} fd=${OUT[$1]}
  # Braces with 2>/dev/null keep bash's own report of a killed process away.
  if ! { timeout "${2:-$E_DEADLINE}" tail --pid="$pid" -s 0.02 -f /dev/null; } 2>/dev/null; then
    echo "$1 (pid $pid) does not end; its errors: $(cat "$T/$1.err")" >&2
    return 1
  fi
  e_close "$1"
  { wait "$pid"; } 2>/dev/null
  STATUS=$?
  exec {fd}<&-
  unset "PID[$1]" "IN[$1]" "OUT[$1]"
}

# e_stop NAME SIGNAL [SECONDS]
e_stop() {
  kill "-$2" "${PID[$1]}" 2>/dev/null
  e_end "$1" "${3-}"
}

# e_until SECONDS COMMAND...: until it succeeds. For states that announce themselves to nobody.
e_until() {
  local deadline=$(($(t_now_ms) + $1 * 1000))
  shift
  until "$@"; do
    [ "$(t_now_ms)" -lt "$deadline" ] || return 1
    sleep 0.02
  done
}

# -- The kernel and agents --

e_needs_ghostd() { $E_OWN_KERNEL || t_skip "the kernel at $GHOSTFS is not this script's own"; }

# e_kernel [OPTION...]: starts ghostd with these options, unless the kernel is somebody else's. GATE=NAME adds
# --gate=NAME.
e_kernel() {
  $E_OWN_KERNEL || return 0
  e_start ghostd "$BIN/ghostd" --mount="$GHOSTFS" ${GATE:+--gate="$GATE"} "$@"
  e_expect ghostd "serving"
}

e_kernel_stop() {
  $E_OWN_KERNEL && [ -n "${PID[ghostd]-}" ] || return 0
  e_stop ghostd INT
}

# e_agent NAME [OPTION...]: an agent ($AGENT) on $CPUS (or as the options say) that is active when this returns.
e_agent() {
  local name=$1
  shift
  e_start "$name" "$BIN/$AGENT" "${AGENT_OPTIONS[@]}" --ghostfs="$GHOSTFS" "${@:---ghost_cpus=$CPUS}"
  e_expect "$name" "ghOSt active"
}

# The directory of the enclave that the agent NAME serves.
e_enclave_of() {
  local pid
  for pid in ${PID[$1]} $(pgrep -P "${PID[$1]}"); do
    readlink "/proc/$pid/fd/"* 2>/dev/null
  done | grep -o -m1 'enclave_[0-9]*' | sed "s|^|$GHOSTFS/|"
}

# The state letter of a thread (R, S, D, T, t, Z), or nothing.
e_state() { sed -n 's/^State:\t\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null; }

# e_in_enclave DIR PID: whether `tasks` lists it.
e_in_enclave() { grep -qx "$2" "$1/tasks" 2>/dev/null; }

# No thread of process PID is stopped, by a signal or by a tracer, and none is traced.
e_runs_free() {
  local file
  for file in /proc/"$1"/task/*/status; do
    ! grep -q -e '^State:.[Tt]' -e '^TracerPid:.[1-9]' "$file" 2>/dev/null || return 1
  done
}

# The ghostds and agents that run at $GHOSTFS, one line each: whatever this script or ghostctl has started.
e_left() {
  local directory program
  for directory in /proc/[0-9]*; do
    program=$(readlink "$directory/exe")
    case ${program##*/} in ghostd | agent_* | *_agent) ;; *) continue ;; esac
    if grep -qz "^GHOSTFS=$GHOSTFS$" "$directory/environ" 2>/dev/null; then echo "${directory#/proc/} $program"; fi
  done
}

# Shared-memory directories of ghostds.
e_shm() { find /dev/shm -maxdepth 1 -name 'ghostd-*' 2>/dev/null; }

t_cleanup() {
  local name
  for name in "${!PID[@]}"; do
    # Agents before their kernel: they have something to give back.
    [ "$name" = ghostd ] && continue
    kill -9 "${PID[$name]}" 2>/dev/null
    { wait "${PID[$name]}"; } 2>/dev/null
  done
  e_kernel_stop
  if $E_OWN_KERNEL && mountpoint -q "$GHOSTFS" 2>/dev/null; then umount -l "$GHOSTFS"; fi
  rm -rf "$T"
}
