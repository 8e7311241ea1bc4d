#!/bin/bash
# rocksdb as a user starts it: what it refuses, what it prints, how it ends, under CFS and over ghostd with any agent.
. tests/e2e/lib.sh
. tests/e2e/env.sh

ROCKSDB=$BIN/rocksdb
# Where its temporary databases are, so that one that is left would be found.
export TMPDIR=$T/tmp
mkdir "$TMPDIR"
# A load that even a busy machine carries: a hundredth of a CPU.
ON=()
SMALL=(--throughput 200 --get_duration 20us --range_query_ratio 0.03 --range_duration 1ms --discard_duration 500ms)

# says STATUS PATTERN WORD...: with these words it fails so.
says() { t_says "$1" "^rocksdb: .*$2" "$ROCKSDB" "${@:3}"; }

# measure WORD...: a run of 4 s that prints JSON, into $T/r.json. What starts it is in ON, if anything is.
measure() {
  timeout 120 "${ON[@]}" "$ROCKSDB" "${SMALL[@]}" --experiment_duration 4s --print_format json "$@" \
    >"$T/r.json" 2>"$T/err" || t_fail "$*: exit status $?: $(cat "$T/err")"
  [ "$(cat "$T/err")" = "rocksdb: ready" ] || t_fail "$(cat "$T/err")"
}

# holds EXPRESSION: of r, the result in $T/r.json, and its stages s.
holds() {
  /usr/bin/python3 -c "
import json, sys
r = json.load(open('$T/r.json'))
s = r['requests']['all']
sys.exit(0 if ($1) else 1)" || t_fail "not so: $1: $(cat "$T/r.json")"
}

# What is so whatever the load.
holds_always() {
  holds "r['program'] == 'rocksdb' and r['workers'] == int(r['options']['num_workers'])"
  holds "abs(r['duration_s'] - 3.5) < 1e-9"
  holds "set(r['requests']) == {'all', 'get', 'range'}"
  holds "all(x['total'] == s['total']['total'] for x in s.values())"
  holds "s['total']['total'] + r['unfinished'] == r['arrived']"
  holds "sum(r['requests'][k]['total']['total'] for k in ('get', 'range')) == s['total']['total']"
  # Percentiles are in order, and never below the smallest.
  holds "all([x[k] for k in ('min_ns', 'p50_ns', 'p99_ns', 'p99_5_ns', 'p99_9_ns', 'max_ns')] ==
             sorted(x[k] for k in ('min_ns', 'p50_ns', 'p99_ns', 'p99_5_ns', 'p99_9_ns', 'max_ns'))
             for kind in r['requests'].values() for x in kind.values())"
  # Four stages, one after another, are the total: means are rounded down.
  holds "0 <= s['total']['mean_ns'] - sum(x['mean_ns'] for k, x in s.items() if k != 'total') <= 4"
  holds "r['requests']['get']['worker_handle_time']['min_ns'] >= 20000"
  holds "r['requests']['range']['worker_handle_time']['min_ns'] >= 1000000"
}

# Below saturation all that is offered is done. 700 arrive; that is a Poisson process's, within 5 standard deviations.
holds_below_saturation() {
  holds_always
  holds "abs(r['arrived'] - 700) < 5 * 700 ** 0.5"
  holds "r['offered_per_s'] == 200 and r['achieved_per_s'] >= 0.9 * r['arrived'] / 3.5"
  /usr/bin/python3 -c "
import json
r = json.load(open('$T/r.json'))
t = r['requests']['all']['total']
print('achieved %.1f/s, p50 %d us, p99 %d us, generator late p50 %d us, p99 %d us' % (r['achieved_per_s'],
      t['p50_ns'] / 1000, t['p99_ns'] / 1000, r['generator']['lateness_ns']['p50'] / 1000,
      r['generator']['lateness_ns']['p99'] / 1000))"
}

a_database_is_there() { [ -n "$(ls -A "$TMPDIR")" ]; }
no_database_is_left() { [ -z "$(ls -A "$TMPDIR")" ]; }

t_begin "--help has examples, and neither that nor --version needs a kernel"
for flag in --help --version; do
  GHOSTFS=/nonexistent "$ROCKSDB" $flag >"$T/said.out" 2>"$T/said.err" || t_fail "$flag: $?"
done
"$ROCKSDB" --help | grep -q "^examples:" || t_fail
t_pass

t_begin "bad values are usage errors"
for bad in --throughput=0 --throughput=x --range_query_ratio=2 --num_workers=0 --batch=0 --get_duration=-1us \
  --range_duration=1h --get_exponential_mean=inf --discard_duration=inf --experiment_duration=1s \
  --scheduler=fifo --cfs_wait_type=prio_table --ghost_wait_type=spin --load_generator_wait=busy --print_format=xml \
  --load_generator_cpus=1- --cfs_dispatcher_cpus=x --worker_cpus=900 --nosuchflag; do
  name=${bad%%=*}
  says 2 "${name#--}" "$bad"
done
[ "$CPUS" = 0 ] || says 2 "more generators than workers" --load_generator_cpus "$CPUS" --num_workers 1
says 2 "worker_cpus" --scheduler ghost --worker_cpus 0
says 2 "cfs_dispatcher_cpus" --scheduler ghost --cfs_dispatcher_cpus 0
says 2 "unexpected argument" 10us
t_pass

t_begin "a list with a CPU that this process may not use is refused"
if [ "$CPUS" = 0 ]; then t_skip "one CPU"; fi
timeout 60 taskset -c 0 "$ROCKSDB" --worker_cpus 1 >"$T/said.out" 2>"$T/said.err"
[ $? = 2 ] && grep -q "may not use CPU 1" "$T/said.err" || t_fail "$(cat "$T/said.err")"
t_pass

t_begin "a database's path that will not do"
touch "$T/file"
says 2 "$T/none/db" --rocksdb_db_path "$T/none/db"
says 2 "$T/file" --rocksdb_db_path "$T/file"
says 2 "$T" --rocksdb_db_path "$T"
TMPDIR=$T/none says 1 "$T/none"
no_database_is_left || t_fail "$(ls "$TMPDIR")"
t_pass

t_begin "not root: a path that can't be written to is exit status 4"
if [ "$(id -u)" != 0 ]; then t_skip "this is not root"; fi
cp -L "$ROCKSDB" "$T/rocksdb" && chmod 755 "$T" "$T/rocksdb" && mkdir -m 755 "$T/roots"
ROCKSDB=$(command -v setpriv) says 4 "ermission" --reuid=65534 --regid=65534 --clear-groups "$T/rocksdb" \
  --rocksdb_db_path "$T/roots/db"
t_pass

t_begin "no ghost kernel: exit status 3"
says 3 "$T/none" --scheduler ghost --ghostfs "$T/none"
t_pass

t_begin "under CFS, in each way of waiting: all that is offered is done"
for wait in spin futex; do
  measure --cfs_wait_type $wait
  holds "r['scheduler'] == 'cfs' and r['wait_type'] == '$wait'"
  holds_below_saturation
done
no_database_is_left || t_fail "$(ls "$TMPDIR")"
t_pass

t_begin "two generators, two dispatchers, batches, on all CPUs that there are"
if [ "$CPUS" = 0 ]; then t_skip "one CPU"; fi
measure --load_generator_cpus "$CPUS" --cfs_dispatcher_cpus "$CPUS" --worker_cpus "$CPUS" --num_workers 3 --batch 4 \
  --cfs_wait_type futex
holds_below_saturation
t_pass

t_begin "on one CPU"
ON=(taskset -c 0)
measure
ON=()
holds_below_saturation
t_pass

t_begin "more than it can do: what is left is counted, and nothing that arrived is forgotten"
# One worker, for whom 1.6 s of work arrive each second: in the end that of 1.5 s is left.
measure --num_workers 1 --range_query_ratio 0.8 --range_duration 10ms --discard_duration 0
holds "abs(r['arrived'] - 800) < 5 * 800 ** 0.5"
holds "r['unfinished'] > 0.2 * r['arrived'] and s['total']['total'] + r['unfinished'] == r['arrived']"
# The queue only grows: who comes last waits longest, and those who are still there have waited for longer than some.
holds "s['ingress_queue_time']['max_ns'] > 0.5e9 and r['unfinished_waited_ns']['max'] > 0.5e9"
t_pass

t_begin "a database that is kept is used again"
measure --rocksdb_db_path "$T/kept"
before=$(stat -c %Y.%s "$T/kept/IDENTITY")
measure --rocksdb_db_path "$T/kept"
holds_below_saturation
[ "$(stat -c %Y.%s "$T/kept/IDENTITY")" = "$before" ] || t_fail "it was made anew"
KEPT=(--rocksdb_db_path "$T/kept")
t_pass

t_begin "SIGINT and SIGTERM end it with results, and its temporary database is gone"
for signal in INT TERM; do
  e_start rocksdb "$ROCKSDB" --throughput 500 --discard_duration 0
  e_expect rocksdb "rocksdb: ready" || t_fail
  [ "$(find "$TMPDIR" -maxdepth 1 -name 'ghost-rocksdb.*' | wc -l)" = 1 ] || t_fail "no database in $TMPDIR"
  kill -$signal "${PID[rocksdb]}"
  e_expect rocksdb "s measured" || t_fail
  e_expect rocksdb "Total " || t_fail
  e_end rocksdb || t_fail
  [ "$STATUS" = 0 ] || t_fail "exit status $STATUS: $(cat "$T/rocksdb.err")"
  no_database_is_left || t_fail "$(ls "$TMPDIR")"
done
t_pass

t_begin "kill -9, in its sleep or while it fills the database: that is gone, too"
for moment in filling ready; do
  e_start rocksdb "$ROCKSDB" --throughput 500
  if [ $moment = ready ]; then
    e_expect rocksdb "rocksdb: ready" || t_fail
  else
    e_until 30 a_database_is_there || t_fail "no database"
  fi
  e_stop rocksdb KILL || t_fail
  e_until 30 no_database_is_left || t_fail "$(ls "$TMPDIR")"
done
t_pass

t_begin "a process group's kill -9 (a shell's, a timeout's) leaves nothing either"
setsid "$ROCKSDB" --throughput 500 >"$T/group.out" 2>&1 &
group=$!
e_until 60 grep -q ready "$T/group.out" || t_fail "$(cat "$T/group.out")"
kill -9 -- -$group
{ wait $group; } 2>/dev/null
e_until 30 no_database_is_left || t_fail "$(ls "$TMPDIR")"
t_pass

# -- Over ghostd --

# start_agent CPUS: $AGENT. Where many others want a CPU, a slice of microseconds is over before its task has had any.
start_agent() {
  case $AGENT in
    agent_shinjuku) e_agent agent --ghost_cpus="$1" --preemption_time_slice=10ms ;;
    *) e_agent agent --ghost_cpus="$1" ;;
  esac
}

e_needs_two() { [ "$CPUS" != 0 ] || t_skip "a centralized agent needs two CPUs"; }

for AGENT in agent_shinjuku fifo_centralized_agent fifo_per_cpu_agent; do
  t_begin "$AGENT, with hints and without: all that is offered is done"
  [ "$AGENT" = fifo_per_cpu_agent ] || e_needs_two
  e_kernel && start_agent "$CPUS" || t_fail
  for wait in prio_table futex; do
    measure --scheduler ghost --ghost_wait_type $wait "${KEPT[@]}"
    holds "r['scheduler'] == 'ghost' and r['wait_type'] == '$wait'"
    holds_below_saturation
  done
  e_stop agent INT || t_fail
  [ "$STATUS" = 0 ] || t_fail "the agent ended with $STATUS: $(cat "$T/agent.err")"
  e_kernel_stop || t_fail
  t_pass
done

t_begin "ghostd's virtual CPUs, and more workers than there are of them"
e_needs_ghostd
AGENT=agent_shinjuku
e_kernel --cpus=8 && start_agent 0-7 || t_fail
measure --scheduler ghost --num_workers 50 "${KEPT[@]}"
holds_below_saturation
t_pass

t_begin "SIGTERM ends it with results, under an agent, too"
e_start rocksdb "$ROCKSDB" --scheduler ghost --throughput 500 --discard_duration 0 "${KEPT[@]}"
e_expect rocksdb "rocksdb: ready" || t_fail
e_stop rocksdb TERM || t_fail
[ "$STATUS" = 0 ] || t_fail "exit status $STATUS: $(cat "$T/rocksdb.err")"
t_pass

t_begin "an agent that dies in the middle: it ends when it should, and says so"
e_start rocksdb "$ROCKSDB" --scheduler ghost --throughput 500 --discard_duration 0 "${KEPT[@]}"
e_expect rocksdb "rocksdb: ready" || t_fail
e_stop agent KILL || t_fail
kill -INT "${PID[rocksdb]}"
e_expect rocksdb "s measured" || t_fail
e_end rocksdb || t_fail
[ "$STATUS" = 1 ] || t_fail "exit status $STATUS: $(cat "$T/rocksdb.err")"
grep -q "^rocksdb: the agent of .* has gone" "$T/rocksdb.err" || t_fail "$(cat "$T/rocksdb.err")"
says 1 "no agent" --scheduler ghost "${KEPT[@]}"
t_pass

t_begin "ghostd that dies in the middle: the same"
e_needs_ghostd
e_kernel_stop
e_kernel --cpus=2 && start_agent 0-1 || t_fail
e_start rocksdb "$ROCKSDB" --scheduler ghost --throughput 500 --discard_duration 0 "${KEPT[@]}"
e_expect rocksdb "rocksdb: ready" || t_fail
e_stop ghostd KILL || t_fail
kill -INT "${PID[rocksdb]}"
e_end rocksdb || t_fail
[ "$STATUS" = 1 ] || t_fail "exit status $STATUS: $(cat "$T/rocksdb.err")"
e_stop agent KILL
t_pass
