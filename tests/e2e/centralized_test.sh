#!/bin/bash
# What the programs of centralized policies say and take: AGENT is one of them. (Their life: agent_test.sh.)
. tests/e2e/lib.sh
. tests/e2e/env.sh

# refuses PATTERN OPTION...: exit status 2, one line of the program that matches, and a hint.
refuses() {
  local pattern=$1 status
  shift
  timeout 60 "$BIN/$AGENT" "$@" >"$T/out" 2>"$T/err" </dev/null
  status=$?
  [ "$status" = 2 ] || t_fail "$*: exit status $status: $(cat "$T/out" "$T/err")"
  grep -q -e "^$AGENT: .*$pattern" "$T/err" || t_fail "$*: no '$pattern' in: $(cat "$T/err")"
  grep -q "^hint: " "$T/err" || t_fail "$*: no hint: $(cat "$T/err")"
  [ "$(wc -l <"$T/err")" = 2 ] || t_fail "$*: not two lines: $(cat "$T/err")"
  ! grep -q "Initializing" "$T/out" || t_fail "$*: it has begun: $(cat "$T/out")"
}

# dumped PATTERN: whether the agent's dumps so far have a line that matches.
dumped() { grep -q -e "$1" "$T/agent.err"; }

t_begin "the map of cores comes first, and 'Done!' is the last line"
e_needs_ghostd
e_kernel --cpus=4 || t_fail
e_start agent "$BIN/$AGENT" --ghost_cpus=0-3 --globalcpu=2
IFS= read -r -t 60 -u "${OUT[agent]}" line && [ "$line" = "Core map" ] || t_fail "first line: $line"
e_expect agent "(  3 )" && e_expect agent "Initializing..." &&
  e_expect agent "Initialization complete, ghOSt active." || t_fail
t_pass

t_begin "SIGUSR1 dumps what runs where"
enclave=$(e_enclave_of agent)
e_start client bash -c "echo \$\$ > $enclave/tasks && exec $E2E/population 4"
e_expect client "living 4" && e_ask client advance advanced || t_fail
kill -USR1 "${PID[agent]}"
e_until 10 dumped "^cpu 2: global agent$" || t_fail "$(cat "$T/agent.err")"
e_until 10 dumped "^global agent: cpu 2, .* of 5 tasks$" || t_fail "$(cat "$T/agent.err")"
e_close client
e_expect client "finished 4" && e_end client || t_fail
e_stop agent INT || t_fail
[ "$STATUS" = 0 ] || t_fail "exit status $STATUS: $(cat "$T/agent.err")"
t_pass

t_begin "CPUs that make no sense: exit status 2"
refuses "globalcpu: 3 is not among" --ghost_cpus=0-2 --globalcpu=3
refuses "globalcpu: -2 is not among" --ghost_cpus=0-2 --globalcpu=-2
refuses "one CPU" --ghost_cpus=1
refuses "globalcpu" --globalcpu=x
refuses "ghost_cpus" --ghost_cpus=2-9
t_pass

t_begin "a program without hints runs under it by one command"
policy=${AGENT#agent_}
policy=${policy%_agent}
"$GHOSTCTL" run --policy "$policy" --cpus 0-2 -- bash -c "for i in 1 2 3; do (:) & done; wait; echo over" \
  >"$T/out" 2>"$T/err" || t_fail "$? $(cat "$T/err")"
grep -qx over "$T/out" || t_fail "$(cat "$T/out" "$T/err")"
t_pass

# set_counts NAME GOOD BAD: a tunable of the policy takes one value and refuses another.
set_counts() {
  e_agent agent --ghost_cpus=0-2 || t_fail
  "$GHOSTCTL" set "$1=$2" >"$T/out" 2>"$T/err" || t_fail "$(cat "$T/err")"
  [ "$("$GHOSTCTL" get "$1")" = "$2" ] || t_fail "$("$GHOSTCTL" get)"
  ! "$GHOSTCTL" set "$1=$3" >"$T/out" 2>"$T/err" || t_fail "$1=$3 is taken"
  grep -q "^hint: $1: " "$T/err" || t_fail "$(cat "$T/err")"
  [ "$("$GHOSTCTL" get "$1")" = "$2" ] || t_fail "$("$GHOSTCTL" get)"
  e_stop agent INT || t_fail
}

# ran NAME...: whether each of these processes has computed for 0.2 s.
ran() {
  local name
  for name in "$@"; do
    [ "$(cut -d' ' -f14 "/proc/${PID[$name]}/stat")" -ge 20 ] || return 1
  done
}

case $AGENT in
  agent_shinjuku)
    t_begin "two programs without hints that never sleep take turns on one CPU"
    e_agent agent --ghost_cpus=0-1 --preemption_time_slice=1ms || t_fail
    enclave=$(e_enclave_of agent)
    for name in one two; do
      e_start "$name" bash -c "echo \$\$ > $enclave/tasks; end=\$((SECONDS + 60)); while ((SECONDS < end)); do :; done"
    done
    e_until 30 ran one two || t_fail "$(cat "/proc/${PID[one]}/stat" "/proc/${PID[two]}/stat")"
    e_stop one KILL && e_stop two KILL && e_stop agent INT || t_fail
    t_pass
    ;;&
  agent_shinjuku)
    t_begin "--firstcpu and --ncpus: a range of CPUs"
    e_agent agent --firstcpu=1 --ncpus=3 || t_fail
    [ "$(cat "$(e_enclave_of agent)/cpulist")" = 1-3 ] || t_fail "$(cat "$(e_enclave_of agent)/cpulist")"
    e_stop agent INT || t_fail
    refuses "contradict" --ghost_cpus=0-2 --ncpus=2
    refuses "contradict" --ghost_cpus=0-2 --firstcpu=0
    refuses "no such range" --ncpus=0
    refuses "no such range" --firstcpu=-1
    refuses "no such range" --firstcpu=2147483647 --ncpus=2147483647
    refuses "CPU .* does not exist" --firstcpu=3
    t_pass
    ;;&
  agent_shinjuku | fifo_centralized_agent)
    t_begin "slices: from the command line, and while it runs"
    refuses "preemption_time_slice" --preemption_time_slice=0
    refuses "preemption_time_slice" --preemption_time_slice=-50us
    refuses "preemption_time_slice" --preemption_time_slice=soon
    set_counts preemption_time_slice 30us -1us
    t_pass
    ;;
  agent_exp)
    t_begin "deadlines preempt or do not: from the command line, and while it runs; ticks"
    set_counts preempt_earlier_deadline false maybe
    e_agent agent --ghost_cpus=0-2 --ticks || t_fail
    [ "$(cat "$(e_enclave_of agent)/deliver_ticks")" = 1 ] || t_fail
    e_stop agent INT || t_fail
    t_pass
    ;;
esac

t_begin "the kernel ends last"
e_kernel_stop || t_fail
t_pass
