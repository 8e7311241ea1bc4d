#!/bin/bash
# agent_flux over ghostd, besides what every agent that schedules in BPF has to pass (bpf_agent_test.sh): how its
# sub-schedulers share CPUs and threads.
. tests/e2e/lib.sh
. tests/e2e/env.sh
AGENT=agent_flux
# Nice values say whose a thread is, and nice(1) counts from its own.
renice -n 0 -p $$ >/dev/null
PROV='roci(prov:1(biff, biff), idle)'

# spin NAME NICE: a thread that computes until it is told to stop; prints its CPU time then.
spin() {
  e_start "$1" bash -c "echo \$\$ >$enclave/tasks && exec nice -n $2 python3 -c '
import select, sys, time
end = time.monotonic() + 60
while time.monotonic() < end and not select.select([sys.stdin], [], [], 0)[0]: pass
print(\"cpu\", time.process_time(), flush=True)'"
}

# told NAME: its CPU time, after its end, in $LINE.
told() {
  e_tell "$1" stop
  e_expect "$1" "cpu " && e_end "$1"
}

# What dump says, where a line has to match PATTERN. (The agent that answers is on the first CPU while it does.)
dump_has() {
  "$GHOSTCTL" dump >"$T/dump" 2>&1
  grep -q "$1" "$T/dump"
}
expect_dump() { e_until 20 dump_has "$1" || t_fail "no '$1' in: $(cat "$T/dump")"; }

# ticks NAME...: their CPU time so far, of all, in 1/100 s.
ticks() {
  local name sum=0
  for name in "$@"; do sum=$((sum + $(sed 's/.*) //' "/proc/${PID[$name]}/stat" | awk '{print $12 + $13}'))); done
  echo "$sum"
}
has_had() { [ "$(ticks "$1")" -ge "$2" ]; }

# advance NAME N: waits until it has had N/100 s more.
advance() { e_until 40 has_had "$1" $(($(ticks "$1") + $2)) || t_fail "$1 stands still: $("$GHOSTCTL" dump 2>&1)"; }

t_begin "a slice ends a turn: two computing threads on one CPU get half each"
e_kernel || t_fail
e_agent agent --ghost_cpus=0 --slice=5ms || t_fail
enclave=$(e_enclave_of agent)
for i in 1 2; do spin "spin$i" 0; done
advance spin1 5 && advance spin2 5
before=$(ticks spin2)
advance spin1 100
had=$(($(ticks spin2) - before))
# Of what the two had: others may have the CPU, too.
echo "while one had 100, the other had $had"
[ "$had" -gt 50 ] && [ "$had" -lt 200 ] || t_fail "$had of 100: $("$GHOSTCTL" dump 2>&1)"
expect_dump "^roci/biff: .* 2 threads, .*slices [1-9][0-9]"
for i in 1 2; do told "spin$i" || t_fail; done
e_stop agent INT || t_fail
[ "$STATUS" = 0 ] || t_fail "exit status $STATUS"
t_pass

t_begin "who is provisioned takes the only CPU from others, and they get it back"
e_agent agent --ghost_cpus=0 --tree="$PROV" || t_fail
enclave=$(e_enclave_of agent)
spin low 0
advance low 10
spin high -5
advance high 10
before=$(ticks low)
advance high 100
had=$(($(ticks low) - before))
[ "$had" -le 10 ] || t_fail "while who is before it had 100, it had $had: $("$GHOSTCTL" dump 2>&1)"
told high || t_fail
advance low 20
dump_has "^roci/prov/biff1: .*joined [1-9]" || t_fail "$(cat "$T/dump")"
told low || t_fail
e_stop agent INT || t_fail
t_pass

t_begin "what goes beyond its CPUs it has only while nobody else wants it"
[ "$CPUS" = 0-1 ] || t_skip "one CPU only"
e_agent agent --ghost_cpus=0-1 --tree="$PROV" || t_fail
enclave=$(e_enclave_of agent)
for i in 1 2; do spin "high$i" -5; done
for i in 1 2; do advance "high$i" 20; done
expect_dump "^cpu 1: at roci/prov/biff1, gtid [1-9]"
spin low 0
advance low 20
before=$(ticks high1 high2)
advance low 100
had=$(($(ticks high1 high2) - before))
echo "while the other had 100, those with the provision had $had"
[ "$had" -gt 10 ] || t_fail "$had of 100: $("$GHOSTCTL" dump 2>&1)"
t_pass

t_begin "a thread of another nice value belongs to another sub-scheduler"
[ "$CPUS" = 0-1 ] || t_skip "one CPU only"
expect_dump "^roci/prov/biff2: .* 1 threads"
renice -n -5 -p "${PID[low]}" >/dev/null
expect_dump "^roci/prov/biff2: .* 0 threads"
dump_has "^roci/prov/biff1: .* 3 threads" || t_fail "$(cat "$T/dump")"
for name in high1 high2 low; do told "$name" || t_fail; done
e_stop agent INT || t_fail
[ "$STATUS" = 0 ] || t_fail "exit status $STATUS"
t_pass

t_begin "a thread that may run on no CPU of the enclave waits until it may, and is not lost"
[ "$CPUS" = 0-1 ] || t_skip "one CPU only"
e_agent agent --ghost_cpus=0 || t_fail
enclave=$(e_enclave_of agent)
e_start away bash -c "echo \$\$ >$enclave/tasks; while read -r line; do seq 1 1000 | sort -n | tail -n 1; done"
e_ask away go 1000 || t_fail
taskset -pc 1 "${PID[away]}" >/dev/null
e_tell away go
expect_dump "^flux: .*elsewhere [1-9]"
taskset -pc 0 "${PID[away]}" >/dev/null
e_expect away 1000 || t_fail "$("$GHOSTCTL" dump 2>&1)"
e_close away
e_end away || t_fail
e_stop agent INT || t_fail
[ "$STATUS" = 0 ] || t_fail "exit status $STATUS"
t_pass

t_begin "a --slice or a --tree that is none: exit status 2, one line, a hint"
for flag in --slice=0 --tree= --tree=biff '--tree=roci(biff, nosuch, idle)' '--tree=roci(biff)'; do
  "$BIN/$AGENT" "$flag" >"$T/out" 2>"$T/err"
  status=$?
  [ "$status" = 2 ] || t_fail "$flag: exit status $status"
  grep -q "^agent_flux: ${flag%%=*}" "$T/err" && grep -q "^hint: " "$T/err" || t_fail "$flag: $(cat "$T/err")"
done
t_pass
