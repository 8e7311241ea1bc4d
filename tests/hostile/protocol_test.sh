#!/bin/bash
# Agents that do not keep to the protocol, want more than there is, or die at any step.
. tests/e2e/lib.sh
. tests/e2e/env.sh
. tests/hostile/hostile.sh

h_kernel
if [ "$CPUS" = 0-1 ]; then h_case "one task on two CPUs: never" double_schedule lives; fi
h_case "gtids that nobody has" forged_gtids waits
h_case "barriers of a while ago" stale_barriers lives
h_case "gtids of threads that have ended" recycled_gtids waits
h_case "commits with any flags, targets and CPUs" garbage_commits waits
h_case "RUN with any arguments" garbage_runs lives
h_case "ioctls with any number, size and pointer" garbage_ioctls lives
h_case "pointers behind arguments" bad_pointers lives
h_case "masks of a megabyte" huge_masks lives
h_case "new tasks' queue is closed" default_queue_closed waits
h_case "everything once more after destroy" after_destroy waits
h_case "a child goes on with a dead agent's mappings" fork_with_mappings waits
h_case "agent threads end while they wait" agent_thread_ends waits
h_case "an agent ends with a task latched on its CPU" end_with_latch waits
h_case "agents spin and never call" spin waits
h_case "a queue of one slot" one_slot lives
h_case "a queue that nobody drains" never_drain lives

# What agents do not schedule waits; and is free when they are gone.
t_begin "agents never schedule"
h_attacker attacker never_schedule || t_fail
e_start client bash -c "echo \$\$ >$ENCLAVE/tasks && exec $E2E/population $H_THREADS"
e_until 10 e_in_enclave "$ENCLAVE" "${PID[client]}" || t_fail
e_stop attacker KILL
h_destroy_all >"$T/well" || t_fail "$(cat "$T/well")"
e_expect client "living $H_THREADS" 20 || t_fail
h_well && t_pass

t_begin "agents never schedule: runnable_timeout rescues their tasks"
h_attacker attacker never_schedule || t_fail
echo 200 >"$ENCLAVE/runnable_timeout"
e_start client bash -c "echo \$\$ >$ENCLAVE/tasks && exec $E2E/population $H_THREADS"
e_expect client "living $H_THREADS" 20 || t_fail
[ ! -e "$ENCLAVE" ] || t_fail "the enclave is still there"
e_end attacker 20 || t_fail "the agents are"
h_well && t_pass

h_case "as many small queues as there can be" small_queues lives
h_case "as many of the largest queues as there can be" large_queues lives
h_case "as many regions of status words as there can be" regions lives
h_case "as many enclaves as there can be" enclaves lives
h_case "gtids of five thousand strangers" strangers lives

t_begin "tasks of another enclave: the other's agents get them back"
h_attacker victim none || t_fail
h_client client "$ENCLAVE" || t_fail
e_stop victim KILL || t_fail
h_attacker attacker stale_barriers --attach="$ENCLAVE" || t_fail
e_ask attacker attack attacked 60 || t_fail
e_ask client advance advanced 20 || t_fail
e_stop attacker KILL || t_fail
h_well && t_pass

for step in opened created mapped words queue default wakeup one_agent agents online; do
  t_begin "an agent dies in its start-up at: $step"
  e_start attacker "$HOSTILE/hostile_agent" --cpus="$CPUS" --die_at="$step"
  e_expect attacker "dying at $step" 20 && e_end attacker || t_fail
  h_well && t_pass
done

for step in created mapped words queue wakeup one_agent agents online; do
  t_begin "an agent dies while it takes over, at: $step"
  h_attacker attacker none && h_client client "$ENCLAVE" || t_fail
  e_stop attacker KILL || t_fail
  e_start successor "$HOSTILE/hostile_agent" --cpus="$CPUS" --attach="$ENCLAVE" --die_at="$step"
  e_expect successor "dying at $step" 20 && e_end successor || t_fail
  h_attacker attacker none --attach="$ENCLAVE" || t_fail "nobody can take over after it"
  e_ask client advance advanced 20 || t_fail "no progress under its successor"
  e_stop attacker KILL || t_fail
  h_well && t_pass
done

t_begin "an agent is killed in the middle of its own end, ten times"
for i in 0 1 2 3 4 5 6 7 8 9; do
  h_start || t_fail
  kill -INT "${PID[agent]}"
  e_until 0 false || read -r -t "0.00$i" -u "${OUT[client]}"
  pkill -KILL -P "${PID[agent]}"
  e_stop agent KILL || t_fail
  h_well || break
done
t_pass
