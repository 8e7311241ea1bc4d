#!/bin/bash
# The walk of every ghOSt guide, by hand: ghostd, an agent, ls, cat, echo.
. tests/e2e/lib.sh
. tests/e2e/env.sh

t_begin "ghostd says where it serves and which CPUs it offers"
e_kernel || t_fail "ghostd did not start"
echo "$LINE"
t_pass

t_begin "the mount lists the version and ctl"
[ "$(tail -n 1 "$GHOSTFS/version")" = 91 ] || t_fail "version: $(cat "$GHOSTFS/version")"
[ -e "$GHOSTFS/ctl" ] || t_fail "no ctl in: $(ls "$GHOSTFS")"
t_pass

t_begin "the agent says that it initializes and is active"
e_start agent "$BIN/fifo_per_cpu_agent" --ghost_cpus "$CPUS"
e_expect agent "Initializing..." || t_fail
e_expect agent "Initialization complete, ghOSt active." || t_fail
t_pass

enclave=$GHOSTFS/enclave_1

t_begin "ls shows the enclave and its control files"
files=$(ls "$enclave")
for file in abi_version agent_online commit_at_tick cpu_data cpulist cpumask ctl deliver_ticks runnable_timeout status \
  sw_regions tasks; do
  grep -qx "$file" <<<"$files" || t_fail "no $file in: $files"
done
t_pass

t_begin "cat status says that the agent is active"
status=$(cat "$enclave/status")
grep -qx "active yes" <<<"$status" || t_fail "$status"
grep -qx "nr_tasks 0" <<<"$status" || t_fail "$status"
[ "$(cat "$enclave/cpulist")" = "$CPUS" ] || t_fail "cpulist: $(cat "$enclave/cpulist")"
t_pass

t_begin "echo pid > tasks puts a shell under ghost, and it works on"
e_start shell bash
e_tell shell "echo \$\$ > $enclave/tasks && echo inside"
e_expect shell inside || t_fail
grep -qx "${PID[shell]}" "$enclave/tasks" || t_fail "tasks: $(cat "$enclave/tasks")"
e_ask shell "echo \$((6 * 7)) is the answer" "42 is the answer" || t_fail
t_pass

t_begin "what a shell under ghost starts is under ghost, too"
e_ask shell "read -r pid rest < /proc/self/stat; sleep 1000 & echo child \$!" "child " || t_fail
child=${LINE#child }
e_until 10 e_in_enclave "$enclave" "$child" || t_fail "$child is not among: $(cat "$enclave/tasks")"
kill "$child"
e_until 10 test ! -e "/proc/$child/exe" || t_fail "$child does not end"
t_pass

t_begin "a shell leaves ghost when its scheduler is set to SCHED_OTHER"
"$GHOSTCTL" move --out "${PID[shell]}" || t_fail
e_until 10 eval "! e_in_enclave $enclave ${PID[shell]}" || t_fail "tasks: $(cat "$enclave/tasks")"
e_ask shell "echo still here" "still here" || t_fail
t_pass

t_begin "echo destroy > ctl ends the enclave, its agent, and no task"
e_ask shell "echo \$\$ > $enclave/tasks && echo inside" inside || t_fail
echo destroy >"$enclave/ctl" || t_fail "cannot write ctl"
e_until 10 test ! -e "$enclave" || t_fail "$enclave is still there"
e_ask shell "echo alive" alive || t_fail
e_end agent || t_fail "the agent does not end"
e_runs_free "${PID[shell]}" || t_fail "the shell is still held"
t_pass

t_begin "SIGINT ends ghostd, and with it its mount"
e_needs_ghostd
e_stop ghostd INT || t_fail "ghostd does not end"
[ "$STATUS" = 0 ] || t_fail "exit status $STATUS"
! mountpoint -q "$GHOSTFS" || t_fail "$GHOSTFS is still mounted"
e_ask shell "echo alive" alive || t_fail
t_pass
