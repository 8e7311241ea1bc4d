#!/bin/bash
# kill -9 ghostd: every client runs on under CFS at once, as it was before, and the next ghostd finds a clean house.
#
# TIMES=N repeats it so often.
. tests/e2e/lib.sh
. tests/e2e/env.sh

TIMES=${TIMES:-20}
THREADS=24
# How soon all is to be well.
LIMIT_MS=$((200 * SLOWNESS))

# once: start everything, kill ghostd, look. Says what is wrong and fails.
once() {
  e_kernel && e_agent agent || return 1
  local enclave before ms
  enclave=$(e_enclave_of agent)
  e_start client bash -c "echo \$\$ > $enclave/tasks && exec $E2E/population $THREADS"
  e_expect client "living $THREADS" && e_ask client advance advanced || return 1

  # The client looks at its threads, and at the clock, itself: no process has to be started for that.
  before=$(date +%s%N)
  kill -9 "${PID[ghostd]}"
  e_ask client await-own "own $THREADS of $THREADS at " 10 || { echo "affinity or nice are not their own"; return 1; }
  ms=$(((${LINE##* } - before) / 1000000))
  e_runs_free "${PID[client]}" || { echo "threads are still held"; return 1; }
  worst=$((ms > worst ? ms : worst))
  e_ask client advance advanced 10 || { echo "not every thread runs on"; return 1; }

  e_end ghostd
  # An agent without its kernel has nothing to do, and says so by ending.
  e_end agent 20 || { echo "the agent hangs"; return 1; }
  e_close client
  e_end client && [ "$STATUS" = 0 ] || { echo "the client ended with $STATUS"; return 1; }
}

shm_before=$(e_shm | wc -l)

t_begin "$TIMES times kill -9 ghostd: $THREADS threads go on with their own affinity and nice"
e_needs_ghostd
worst=0
for ((i = 1; i <= TIMES; i++)); do
  once || { t_fail "round $i of $TIMES"; break; }
done
echo "slowest of $TIMES: $worst ms"
t_pass

t_begin "… within $LIMIT_MS ms"
[ "$worst" -gt 0 ] && [ "$worst" -le "$LIMIT_MS" ] || t_fail "slowest: $worst ms"
t_pass

t_begin "the next ghostd serves the same place, and nothing is left over"
e_needs_ghostd
e_kernel || t_fail "ghostd does not start again"
[ "$(ls "$GHOSTFS" | grep -c '^enclave_')" = 0 ] || t_fail "enclaves: $(ls "$GHOSTFS")"
e_kernel_stop || t_fail
! mountpoint -q "$GHOSTFS" || t_fail "$GHOSTFS is still mounted"
[ "$(e_shm | wc -l)" = "$shm_before" ] || t_fail "shared memory is left: $(e_shm)"
t_pass

# Under ghostctl run, which has started ghostd itself.
run_once() {
  e_start run "$GHOSTCTL" run --cpus "$CPUS" -- "$E2E/population" "$THREADS"
  e_expect run "living $THREADS" && e_ask run advance advanced || return 1
  local ghostd
  ghostd=$(pgrep -f "ghostd --mount=$GHOSTFS" | head -n 1)
  kill -9 "$ghostd" || return 1
  e_ask run await-own "own $THREADS of $THREADS at " 10 && e_ask run advance advanced 10 || return 1
  e_close run
  e_end run || return 1
  [ "$STATUS" = 0 ] || { echo "exit status $STATUS"; return 1; }
  grep -q "ghostd was killed by signal 9.*runs on under the ordinary scheduler" "$T/run.err" ||
    { echo "no word of it: $(cat "$T/run.err")"; return 1; }
  # All that run had started has ended with it.
  [ -z "$(e_left)" ] || { echo "left: $(e_left)"; return 1; }
}

t_begin "$TIMES times kill -9 the ghostd of ghostctl run: the program runs on, and run says so"
e_needs_ghostd
for ((i = 1; i <= TIMES; i++)); do
  run_once || { t_fail "round $i of $TIMES"; break; }
done
t_pass
