#!/bin/bash
# agent_cfs_bpf over ghostd, besides what every agent that schedules in BPF has to pass (bpf_agent_test.sh) and every
# fair one (simple_cfs_test.sh): who may run nowhere, nice values that change, CPUs that take over from others.
. tests/e2e/lib.sh
. tests/e2e/env.sh
AGENT=agent_cfs_bpf

# counted NAME: what the programs have counted of that, by ghostctl dump.
counted() { "$GHOSTCTL" dump 2>&1 | sed -n "s/^cfs_bpf: .*\b$1 \([0-9]*\)\b.*/\1/p"; }
has_counted() { [ "$(counted "$1")" -gt "$2" ]; }

# How often PNT has run.
pnt_runs() { "$GHOSTCTL" status 2>&1 | sed -n 's/.* programs: pnt \([0-9]*\),.*/\1/p'; }

# A thread that computes until it gets a line, and says then how many seconds of CPU it had from the last line to this.
SPIN='
import select, sys, time
end = time.monotonic() + 120
while time.monotonic() < end:
    start = time.process_time()
    while time.monotonic() < end and not select.select([sys.stdin], [], [], 0)[0]:
        for i in range(2000): pass
    if not sys.stdin.readline(): break
    print("had", time.process_time() - start, flush=True)'
# spin NAME ENCLAVE
spin() { e_start "$1" bash -c "echo \$\$ >$2/tasks && exec python3 -c '$SPIN'"; }

t_begin "who may run on no CPU of the enclave waits, and nobody polls over it; it is not lost"
[ "$CPUS" = 0-1 ] || t_skip "one CPU only"
e_kernel || t_fail
e_agent agent --ghost_cpus=0 || t_fail
enclave=$(e_enclave_of agent)
e_start client bash -c "echo \$\$ >$enclave/tasks; while read -r line; do echo \"\$line\"; done"
e_ask client here here || t_fail "$(cat "$T/client.err")"
taskset -cp 1 "${PID[client]}" >/dev/null || t_fail
e_tell client again
e_until 20 has_counted nowhere 0 || t_fail "$("$GHOSTCTL" dump)"
before=$(pnt_runs)
sleep 1 # what is measured: a second
after=$(pnt_runs)
# A CPU that polled would ask at each tick, 250 times.
[ "$((after - before))" -lt 50 ] || t_fail "PNT ran $((after - before)) times in a second"
taskset -cp 0 "${PID[client]}" >/dev/null || t_fail
e_expect client again 20 || t_fail "it is lost: $("$GHOSTCTL" dump)"
e_close client
e_end client || t_fail
t_pass

t_begin "shares follow nice values, also those that change"
for name in one two; do spin "$name" "$enclave"; done
# shares RATIO: that of one to two, in 3 s from now on. Slices have 4 ms, and there are others on the machine: within a
# third.
shares() {
  local name had=()
  for name in one two; do e_ask "$name" from had || t_fail "$(cat "$T/$name.err")"; done
  sleep 3 # what is measured
  for name in one two; do
    e_ask "$name" to had || t_fail "$(cat "$T/$name.err")"
    had+=("${LINE#had }")
  done
  echo "${had[*]}: $1 is wanted"
  python3 -c "import sys; sys.exit(not 2 / 3 < ${had[0]} / ${had[1]} / $1 < 3 / 2)" || t_fail "${had[*]}, not $1"
}
shares 1
renice -n 5 -p "${PID[two]}" >/dev/null || t_fail
shares 3.06 # 1.25 ** 5
for name in one two; do
  e_close "$name"
  e_end "$name" || t_fail
done
has_counted slices 100 || t_fail "$("$GHOSTCTL" dump)"
e_stop agent INT || t_fail
[ "$STATUS" = 0 ] || t_fail "exit status $STATUS: $(cat "$T/agent.err")"
t_pass

t_begin "a CPU that has run out of threads gets one that waits for another"
[ "$CPUS" = 0-1 ] || t_skip "one CPU only"
e_agent agent || t_fail
enclave=$(e_enclave_of agent)
for name in one two three; do spin "$name" "$enclave"; done
for name in one two three; do e_ask "$name" ready had || t_fail "$(cat "$T/$name.err")"; done
# pin NAME CPUS
pin() {
  taskset -cp "$2" "${PID[$1]}" >/dev/null || t_fail
  e_ask "$1" ready had || t_fail "$(cat "$T/$1.err")"
}
pin one 0
pin two 1
pin three 0
pin three 0-1
# Of the two that may use CPU 0 the third may leave.
e_close two
e_end two || t_fail
# processor NAME: where it is or was last.
processor() { sed 's/.*) //' "/proc/${PID[$1]}/stat" | cut -d " " -f 37; }
e_until 20 eval '[ "$(processor three)" = 1 ]' || t_fail "$(processor three); $("$GHOSTCTL" dump)"
for name in one three; do
  e_ask "$name" ready had || t_fail "$(cat "$T/$name.err")"
  e_close "$name"
  e_end "$name" || t_fail
done
e_stop agent INT || t_fail
[ "$STATUS" = 0 ] || t_fail "exit status $STATUS"
t_pass
