#!/bin/bash
# Many threads, and many short-lived processes.
. tests/e2e/lib.sh
. tests/e2e/env.sh

t_begin "1000 threads in one enclave, all of which run"
e_kernel && e_agent agent || t_fail
enclave=$(e_enclave_of agent)
e_start client bash -c "echo \$\$ > $enclave/tasks && exec $E2E/population 1000"
e_expect client "living 1000" || t_fail
e_ask client advance advanced || t_fail
echo "$LINE"
grep -qx "nr_tasks 1001" "$enclave/status" || t_fail "$(cat "$enclave/status")"
t_pass

t_begin "ghostd's memory with 1000 tasks is at most 64 MiB"
e_needs_ghostd
rss=$(sed -n 's/^VmRSS:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/${PID[ghostd]}/status")
echo "$rss KiB"
[ "$rss" -le 65536 ] || t_fail "$rss KiB"
t_pass

t_begin "killed while they sleep, 300 more are no signals that ghostd could not send"
e_start killed bash -c "echo \$\$ > $enclave/tasks && exec $E2E/population 300"
e_expect killed "living 300" || t_fail
kill -9 "${PID[killed]}"
e_end killed
e_until 10 grep -qx "nr_tasks 1001" "$enclave/status" || t_fail "$(cat "$enclave/status")"
grep "could not be sent" "$T/ghostd.err" && t_fail
t_pass

t_begin "they all end well"
e_close client
e_expect client "finished 1000" && e_end client || t_fail
[ "$STATUS" = 0 ] || t_fail "exit status $STATUS"
e_until 10 grep -qx "nr_tasks 0" "$enclave/status" || t_fail "$(cat "$enclave/status")"
e_stop agent INT || t_fail
t_pass

t_begin "$((200 / SLOWNESS)) short-lived processes a second for 10 s through ghostctl run"
"$GHOSTCTL" run --cpus "$CPUS" -- "$E2E/spawner" $((200 / SLOWNESS)) 10 || t_fail "exit status $?"
t_pass
