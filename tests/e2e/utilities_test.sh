#!/bin/bash
# enclave_watcher and pushtosched, as scripts call them.
. tests/e2e/lib.sh
. tests/e2e/env.sh

WATCHER=$BIN/enclave_watcher
PUSH=$BIN/pushtosched

# wrong STATUS PATTERN COMMAND...: one line that matches, and a hint. Standard input is this one's.
wrong() {
  local wanted=$1 pattern=$2 status
  shift 2
  timeout 60 "$@" >"$T/out" 2>"$T/err"
  status=$?
  [ "$status" = "$wanted" ] || t_fail "$*: exit status $status: $(cat "$T/out" "$T/err")"
  grep -q -e "$pattern" "$T/err" && grep -q "^hint: " "$T/err" || t_fail "$*: $(cat "$T/err")"
  [ "$(wc -l <"$T/err")" = 2 ] || t_fail "$*: not two lines: $(cat "$T/err")"
}

t_begin "without any kernel: --help and --version work, the rest is exit status 3"
for program in "$WATCHER" "$PUSH"; do
  for flag in --help --version; do GHOSTFS=/nonexistent "$program" $flag | grep -q . || t_fail "$program $flag"; done
  wrong 2 "unknown flag --nosuchflag" "$program" --nosuchflag </dev/null
done
wrong 3 "$T/none" "$WATCHER" --ghostfs "$T/none" --enclave 1
wrong 3 "$T/none" "$PUSH" --ghostfs "$T/none" <<<1
t_pass

e_kernel
e_agent first
enclave=$(e_enclave_of first)
e_start client "$E2E/population" 20
e_expect client living

t_begin "pushtosched ghost: whole processes, ids on standard input"
printf '%s\n' "${PID[client]}" | "$PUSH" ghost >"$T/out" || t_fail "$(cat "$T/out")"
printf 'Moving processes to SCHED_GHOST.\npid: %s\n21 threads moved into %s\n' "${PID[client]}" "$enclave" |
  cmp - "$T/out" || t_fail "$(cat "$T/out")"
e_until 10 grep -qx "nr_tasks 21" "$enclave/status" || t_fail "$(cat "$enclave/status")"
e_ask client advance advanced || t_fail
t_pass

t_begin "pushtosched: out again, in upstream's words"
echo "${PID[client]}" | "$PUSH" >"$T/out" || t_fail
head -n 2 "$T/out" | cmp - <(printf 'Moving processes to SCHED_OTHER (CFS).\npid: %s\n' "${PID[client]}") ||
  t_fail "$(cat "$T/out")"
e_until 10 grep -qx "nr_tasks 0" "$enclave/status" || t_fail "$(cat "$enclave/status")"
echo "${PID[client]}" | "$PUSH" 0 | grep -q "0 threads moved to .*, 21 were there already" || t_fail
e_ask client advance advanced || t_fail
t_pass

t_begin "pushtosched --leader_only, with the number of the policy and an enclave"
e_ask client pids "" || t_fail
tids=$LINE
printf '%s ' $tids | "$PUSH" 18 --enclave "${enclave##*_}" --leader_only | tail -n 1 | grep -q "2[01] threads moved" ||
  t_fail
e_until 10 grep -q "nr_tasks 2[01]" "$enclave/status" || t_fail "$(cat "$enclave/status")"
e_ask client advance advanced || t_fail
printf '%s\n' "${PID[client]}" | "$PUSH" other | grep -q "moved to the ordinary" || t_fail
t_pass

t_begin "pushtosched leaves a real-time thread that never was in ghost as it is"
if ! chrt -f 1 true 2>/dev/null; then t_skip "no real-time scheduling here"; fi
e_start rt chrt -f 1 sleep 1000
e_until 10 eval 'chrt -p "${PID[rt]}" | grep -q SCHED_FIFO' || t_fail
echo "${PID[rt]}" | "$PUSH" | grep -q "1 were there already" || t_fail
chrt -p "${PID[rt]}" | grep -q SCHED_FIFO || t_fail "$(chrt -p "${PID[rt]}")"
e_stop rt KILL
t_pass

t_begin "pushtosched: what is wrong is said, and moves nobody"
wrong 2 "no process ids" "$PUSH" </dev/null
wrong 2 "'x' is not a process id" "$PUSH" ghost <<<"${PID[client]} x"
for word in -1 0 1.5 99999999999999999999 "$(printf 'y%.0s' {1..5000})"; do
  wrong 2 "is not a process id" "$PUSH" <<<"$word"
done
head -c 100000 /dev/urandom | wrong 2 "is not a process id" "$PUSH"
wrong 2 "'fifo' is no policy" "$PUSH" fifo <<<1
wrong 2 "what is 'x'" "$PUSH" ghost x <<<1
wrong 2 "enclave is for moves into ghost" "$PUSH" --enclave 1 <<<1
wrong 2 "enclave_77" "$PUSH" ghost --enclave 77 <<<1
grep -qx "nr_tasks 0" "$enclave/status" || t_fail "$(cat "$enclave/status")"
sleep 0 & gone=$!
wait "$gone"
"$PUSH" ghost <<<"$gone" 2>"$T/err" && t_fail "exit status 0"
grep -q "^pushtosched: $gone: no such thread" "$T/err" || t_fail "$(cat "$T/err")"
t_pass

watch() { # NAME [OPTION...]
  local name=$1
  shift
  e_start "$name" "$WATCHER" --enclave "$enclave" "$@" && e_expect "$name" "Watching $enclave."
}

t_begin "enclave_watcher measures a hand-over, with its tasks"
echo "${PID[client]}" | "$PUSH" ghost >/dev/null || t_fail
e_until 10 grep -qx "nr_tasks 21" "$enclave/status" || t_fail "$(cat "$enclave/status")"
e_start second "$BIN/fifo_per_cpu_agent" --enclave "$enclave"
e_expect second Initializing || t_fail
watch watcher --agent_pid "${PID[first]}" || t_fail "$(cat "$T/watcher.err")"
e_expect watcher "Watcher measured blackout of : " || t_fail "$(cat "$T/watcher.err")"
echo "$LINE"
grep -qE "blackout of : [0-9.]+ msec, ~[0-9.]+ usec per task \(21 tasks\)$" <<<"$LINE" || t_fail "$LINE"
e_expect watcher "Watcher kill-to-agent_offline : " || t_fail
echo "$LINE"
e_end watcher && [ "$STATUS" = 0 ] || t_fail "exit status $STATUS"
e_expect second "ghOSt active" && e_end first || t_fail
e_ask client advance advanced || t_fail
t_pass

t_begin "enclave_watcher --sigkill"
e_start third "$BIN/fifo_per_cpu_agent" --enclave "$enclave"
e_expect third Initializing || t_fail
watch watcher --agent_pid "${PID[second]}" --sigkill || t_fail
e_expect watcher "Watcher measured blackout of : " && e_expect watcher "kill-to-agent_offline" || t_fail
e_end watcher && e_end second || t_fail
[ "$STATUS" = 137 ] || t_fail "the agent's exit status $STATUS"
e_ask client advance advanced || t_fail
t_pass

t_begin "enclave_watcher only watches, and says nothing of a signal"
e_expect third "ghOSt active" || t_fail
watch watcher || t_fail
e_start fourth "$BIN/fifo_per_cpu_agent" --enclave "$enclave"
e_expect fourth Initializing || t_fail
e_stop third INT || t_fail
e_expect watcher "Watcher measured blackout of : " || t_fail "$(cat "$T/watcher.err")"
! e_expect watcher "kill-to-agent" 2 2>/dev/null || t_fail "$LINE"
e_end watcher && [ "$STATUS" = 0 ] || t_fail
e_expect fourth "ghOSt active" || t_fail
t_pass

t_begin "enclave_watcher cannot hang: each wait ends, and says for what it waited"
wrong 1 "agent_online is still 1 after 50ms" "$WATCHER" --enclave "$enclave" --timeout 50ms
e_close client && e_end client || t_fail
e_stop fourth KILL || t_fail
e_until 10 grep -q "active no" "$enclave/status" || t_fail
wrong 1 "agent_online is still 0 after 50ms" "$WATCHER" --enclave "$enclave" --timeout 50ms
e_start watcher "$WATCHER" --enclave "$enclave" --timeout 60s
e_until 10 eval 'readlink /proc/${PID[watcher]}/fd/* | grep -q agent_online' || t_fail
echo destroy >"$enclave/ctl"
e_end watcher || t_fail
[ "$STATUS" = 1 ] || t_fail "exit status $STATUS"
grep -q "gone: the enclave was destroyed" "$T/watcher.err" || t_fail "$(cat "$T/watcher.err")"
t_pass

t_begin "enclave_watcher: what is wrong is said"
wrong 2 "enclave is missing" "$WATCHER"
wrong 2 "enclave_77" "$WATCHER" --enclave 77
wrong 2 "sigkill needs" "$WATCHER" --enclave 77 --sigkill
wrong 2 "timeout is a time" "$WATCHER" --enclave 77 --timeout 0
for pid in 0 -2; do wrong 2 "agent_pid $pid is no process" "$WATCHER" --enclave 77 --agent_pid $pid; done
wrong 2 "agent_pid $gone: no such process" "$WATCHER" --enclave 77 --agent_pid "$gone"
wrong 2 "agent_pid" "$WATCHER" --enclave 77 --agent_pid x
t_pass
