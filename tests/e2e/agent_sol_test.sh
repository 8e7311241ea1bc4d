#!/bin/bash
# agent_sol says what its loop costs; sol_test says what is left to the threads.
. tests/e2e/lib.sh
. tests/e2e/env.sh

e_kernel

t_begin "sol_test's threads run to the end, and it says a percentage"
e_agent agent || t_fail
timeout 60 "$BIN/sol_test" -d1 -o 3 -v >"$T/sol.out" 2>"$T/sol.err" || t_fail "exit status $?: $(cat "$T/sol.err")"
grep -q "^ghost: .* [0-9]*\.[0-9][0-9]% of ideal$" "$T/sol.out" || t_fail "$(cat "$T/sol.out")"
# Each thread got its turn.
awk '/^thread/ {n++; if ($3 == 0) bad = 1} END {exit bad || n < 3}' "$T/sol.out" || t_fail "$(cat "$T/sol.out")"
cat "$T/sol.out"
t_pass

t_begin "SIGUSR1: its statistics on stderr"
kill -USR1 "${PID[agent]}"
e_until 10 grep -q "^A/S = T_d/T_t: " "$T/agent.err" || t_fail "$(cat "$T/agent.err")"
grep -q "^global iterations: [1-9][0-9]*, nr_msgs [1-9][0-9]*, msg/iter .*, total msg rate (A) " "$T/agent.err" ||
  t_fail "$(cat "$T/agent.err")"
grep -q "^T_d: .*, T_a: .*, T_t: " "$T/agent.err" || t_fail "$(cat "$T/agent.err")"
t_pass

t_begin "at the end: the mean time of its loop, then Done!"
kill -INT "${PID[agent]}"
e_expect agent " nsecs" || t_fail
[[ $LINE =~ ^[1-9][0-9]*\ nsecs$ ]] || t_fail "it says: $LINE"
e_expect agent "Done!" || t_fail
e_end agent && [ "$STATUS" = 0 ] || t_fail "exit status $STATUS"
t_pass

t_begin "sol_test -c cfs needs no agent; bad values are usage errors"
timeout 60 "$BIN/sol_test" -c cfs -d 1 -n 1 -o 2 >"$T/sol.out" || t_fail "exit status $?"
grep -q "^cfs: 2 threads on 1 CPUs for 1 s: .*% of ideal$" "$T/sol.out" || t_fail "$(cat "$T/sol.out")"
for words in "-d 31" "-d 0" "-c rt" "-o 0" "-n -1" "-n 2000"; do
  "$BIN/sol_test" $words 2>"$T/sol.err"
  [ $? = 2 ] || t_fail "$words: no usage error"
  [ "$(wc -l <"$T/sol.err")" = 2 ] && grep -q "^hint: " "$T/sol.err" || t_fail "$words: $(cat "$T/sol.err")"
done
t_pass
