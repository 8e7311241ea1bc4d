# What the hostile scripts share: a ghostd that outlives all cases of a script, attackers, a client that suffers them,
# and h_well, the postconditions of every case, written once. Source tests/e2e/{lib,env}.sh first.

HOSTILE=$BIN/tests/hostile
H_THREADS=8
# ONLY=NAME: only the cases with that attack.
h_wanted() { [ -z "${ONLY-}" ] || [ "$ONLY" = "$1" ]; }
# How much more memory ghostd may have after a case than before the first, in KiB.
H_GROWTH=16384

h_fds() { ls "/proc/${PID[ghostd]}/fd" | wc -l; }
h_rss() { sed -n 's/^VmRSS:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/${PID[ghostd]}/status"; }
h_regions() { find "$H_SHM" -type f 2>/dev/null | wc -l; }

# h_kernel [OPTION...]: ghostd, and what it has when nothing is the matter.
h_kernel() {
  local before
  before=$(e_shm | sort)
  # With the invariant checker: ghostd ends with 1 if it finds itself in disorder.
  e_kernel --check "$@" || return 1
  H_SHM=$(comm -13 <(echo "$before") <(e_shm | sort))
  # The first of everything may leave something for the next: a table, a cache.
  h_fresh_agent || return 1
  H_FDS=$(h_fds)
  H_RSS=$(h_rss)
}

h_answers() { [ -n "$(timeout 10 cat "$GHOSTFS/version" 2>/dev/null)" ]; }

# An agent as any, and a program under it.
h_fresh_agent() {
  local enclave
  e_agent fresh || return 1
  enclave=$(e_enclave_of fresh)
  timeout 20 bash -c "echo \$\$ >$enclave/tasks && exec true" || { echo "no program runs under it"; return 1; }
  e_stop fresh INT && [ "$STATUS" = 0 ] || { echo "it ends with $STATUS"; return 1; }
}

h_destroy_all() {
  local enclave
  for enclave in "$GHOSTFS"/enclave_*; do
    [ -e "$enclave" ] || continue
    timeout 10 bash -c "echo destroy >$enclave/ctl" 2>/dev/null
    e_until 10 test ! -e "$enclave" || { echo "$enclave can not be destroyed"; return 1; }
  done
}

# No thread anywhere is traced by ghostd.
h_none_traced() { ! grep -qs "^TracerPid:.${PID[ghostd]}$" /proc/[0-9]*/task/*/status; }

# h_free PID: its threads are neither stopped, traced nor pinned.
h_free() {
  local file all
  all=$(sed -n 's/^Cpus_allowed:\t//p' /proc/$$/status)
  e_runs_free "$1" || return 1
  for file in /proc/"$1"/task/*/status; do
    [ "$(sed -n 's/^Cpus_allowed:\t//p' "$file" 2>/dev/null)" = "$all" ] || return 1
  done
}

h_has_no_more() { [ "$(h_fds)" -le "$H_FDS" ] && [ "$(h_regions)" = 0 ]; }

# h_well: the postconditions. ghostd answers, all enclaves can be destroyed, the clients (population programs named
# "client…") run on as ordinary programs and end well, the next agent finds everything in order, nothing has leaked.
h_well() {
  local name
  h_answers || { t_fail "ghostd does not answer: $(cat "$T/ghostd.err")"; return 1; }
  h_destroy_all >"$T/well" || { t_fail "$(cat "$T/well")"; return 1; }
  for name in "${!PID[@]}"; do
    case $name in client*) h_client_well "$name" || return 1 ;; esac
  done
  e_until 10 h_none_traced || { t_fail "a thread is still traced"; return 1; }
  h_fresh_agent >"$T/well" || { t_fail "a fresh agent: $(cat "$T/well")"; return 1; }
  e_until 10 h_has_no_more ||
    { t_fail "left over: $(h_fds) descriptors of $H_FDS, $(h_regions) regions: $(ls "$H_SHM")"; return 1; }
  [ "$(h_rss)" -le $((H_RSS + H_GROWTH)) ] || { t_fail "$(h_rss) KiB of memory, from $H_RSS"; return 1; }
}

# What the threads of process PID are doing, for whoever has to find out why.
h_look() {
  cat /proc/loadavg
  grep -s -e ^State -e ^Tracer -e ^Cpus_allowed_list -e ^SigPnd -e ^ShdPnd /proc/"$1"/task/*/status
  grep -s . /proc/"$1"/task/*/{syscall,wchan,schedstat}
}

h_client_well() {
  e_ask "$1" await-own "own $H_THREADS of $H_THREADS" 10 ||
    { t_fail "$1: threads are held or pinned: $(h_look "${PID[$1]}")"; return 1; }
  e_runs_free "${PID[$1]}" || { t_fail "$1: a thread is held"; return 1; }
  e_ask "$1" advance advanced 20 || { t_fail "$1: not every thread runs on: $(h_look "${PID[$1]}")"; return 1; }
  e_close "$1"
  e_end "$1" 20 && [ "$STATUS" = 0 ] || { t_fail "$1 ends with $STATUS"; return 1; }
}

# h_client NAME DIR: a client with $H_THREADS threads in the enclave that makes progress.
h_client() {
  e_start "$1" bash -c "echo \$\$ >$2/tasks && exec $E2E/population $H_THREADS"
  e_expect "$1" "living $H_THREADS" 30 && e_ask "$1" advance advanced 30
}

# h_attacker NAME ATTACK [OPTION...]: until it is ready; its enclave is in $ENCLAVE.
h_attacker() {
  local name=$1 attack=$2
  shift 2
  e_start "$name" "$HOSTILE/hostile_agent" --attack="$attack" --cpus="$CPUS" "$@"
  e_expect "$name" "ready" 20 || return 1
  ENCLAVE=${LINE#ready }
}

# h_case TITLE ATTACK MEANWHILE [TEXT]: a client in the attacker's enclave, the attack, the postconditions. MEANWHILE
# is what must hold while it goes on: "lives" (every thread of the client makes progress), "waits" (nothing), or "dies"
# (the attacker itself does). TEXT is what ghostd says of it.
h_case() {
  local said
  h_wanted "$2" || return 0
  t_begin "$1"
  said=$(grep -c -e "${4-}" "$T/ghostd.err")
  h_attacker attacker "$2" || { t_fail; return; }
  h_client client "$ENCLAVE" || { t_fail "no progress before the attack"; }
  if [ "$3" = dies ]; then
    e_tell attacker attack
    e_end attacker 20 || t_fail "the attacker lives on"
  else
    e_ask attacker attack attacked 60 || t_fail "the attack does not come to an end"
    [ ! -s "$T/attacker.err" ] || echo "$(cat "$T/attacker.err"); ghostd has $(h_rss) KiB of memory, from $H_RSS"
    [ "$3" != lives ] || e_ask client advance advanced 30 || t_fail "no progress under the attack"
    e_stop attacker KILL 20 || t_fail
  fi
  [ -z "${4-}" ] || e_until 5 h_said_more "$4" "$said" || t_fail "ghostd does not say '$4'"
  h_well && t_pass
}
h_said_more() { [ "$(grep -c -e "$1" "$T/ghostd.err")" -gt "$2" ]; }

# h_client_case TITLE ATTACK WHERE: the client's attack inside a FIFO agent's enclave (WHERE is "inside"), or on it from
# outside, with a bystander in the enclave that must go on.
h_client_case() {
  local enclave start
  h_wanted "$2" || return 0
  t_begin "$1"
  e_agent agent && enclave=$(e_enclave_of agent) && h_client client "$enclave" || { t_fail; return; }
  start="exec $HOSTILE/hostile_client --attack=$2 --enclave=$enclave"
  [ "$3" = outside ] || start="echo \$\$ >$enclave/tasks && $start"
  e_start attacker bash -c "$start"
  e_expect attacker "done" 60 && e_end attacker 20 && [ "$STATUS" = 0 ] || t_fail "the attacker is not well"
  e_ask client advance advanced 30 || t_fail "the bystander makes no progress"
  [ -z "${PID[attacker]-}" ] || e_stop attacker KILL
  e_stop agent INT 20 && [ "$STATUS" = 0 ] || t_fail "the agent ends with $STATUS"
  h_well && t_pass
}

# h_start: a FIFO agent (in $ENCLAVE) and a client under it, over the script's ghostd.
h_start() {
  e_agent agent && ENCLAVE=$(e_enclave_of agent) && h_client client "$ENCLAVE"
}

# h_gone: the postconditions of a ghostd that is no more. Clients run on by themselves and end well, agents end, mount,
# memory and guardian are gone; and the next ghostd finds everything in order.
h_gone() {
  local name guardian=${GUARDIAN-}
  e_end ghostd 20 || { t_fail "ghostd lives on"; return 1; }
  for name in "${!PID[@]}"; do
    case $name in
      client*) h_client_well "$name" || return 1 ;;
      *) e_end "$name" 20 || { t_fail "$name lives on"; return 1; } ;;
    esac
  done
  e_until 10 h_nothing_left || { t_fail "left over: $(ls -d "$GHOSTFS" "$H_SHM") guardian $guardian"; return 1; }
  h_kernel && h_guardian || { t_fail "the next ghostd does not work"; return 1; }
}
h_nothing_left() {
  ! mountpoint -q "$GHOSTFS" && [ ! -e "$H_SHM" ] && { [ -z "${guardian-}" ] || ! kill -0 "$guardian" 2>/dev/null; }
}

# Which process is ghostd's guardian: left in $GUARDIAN.
h_guardian() { GUARDIAN=$(pgrep -P "${PID[ghostd]}" -x ghostd-guardian); }
