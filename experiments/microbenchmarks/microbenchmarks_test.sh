#!/bin/bash
# The microbenchmarks as a user starts them: their tables over ghostd and without a kernel, what they leave behind.
. tests/e2e/lib.sh
. tests/e2e/env.sh

SCALABILITY=$BIN/global_scalability
TABLE3=$BIN/paper_table3
IOCTL=$BIN/ioctl_test


# An agent that ends takes its enclave down.
some_enclave() { ls -d "$GHOSTFS"/enclave_* >"$T/left" 2>/dev/null; }
# (One without an agent may be there for a moment, to count the kernel's CPUs.)
active_enclave() { grep -qs "^active yes" "$GHOSTFS"/enclave_*/status; }
left_clean() { ! some_enclave; }

# holds EXPRESSION: of t, the table in $T/t.json, by p(row), the median, and whole(row).
holds() {
  /usr/bin/python3 -c "
import json, sys
t = json.load(open('$T/t.json'))
rows = {row['row']: row['measured'] for row in t['rows']}
p = lambda row: rows[row]['p50_ns']
sys.exit(0 if ($1) else 1)" || t_fail "not so: $1: $(cat "$T/t.json")"
}

t_begin "bad values are usage errors"
t_says 2 "which scheduler" "$SCALABILITY"
t_says 2 "not a scheduler: cfs" "$SCALABILITY" cfs
t_says 2 "total_loops" "$SCALABILITY" none --total_loops -1
t_says 2 "threads_per_cpu" "$SCALABILITY" none --threads_per_cpu 0
t_says 2 "global_cpu 900" "$SCALABILITY" none --global_cpu 900
t_says 1 "cannot write" "$SCALABILITY" none --global_cpu 0 --o "$T/nowhere/x"
t_says 2 "rounds" "$TABLE3" --rounds 0
t_says 2 "warm_up" "$TABLE3" --warm_up -1
t_says 2 "time_limit" "$TABLE3" --time_limit 0s
t_says 2 "enclave" "$TABLE3" --enclave enclave_1
t_says 2 "print_format" "$TABLE3" --print_format xml
t_says 2 "nosuchflag" "$IOCTL" --nosuchflag
for program in "$SCALABILITY" "$TABLE3" "$IOCTL"; do
  "$program" --help | grep -q "^examples:" || t_fail "$program --help"
  "$program" --version >"$T/said.out" && [ -s "$T/said.out" ] || t_fail "$program --version"
done
t_pass

t_begin "without a ghost kernel: what needs none is measured"
t_says 3 "none" "$SCALABILITY" sol --ghostfs "$T/none"
# Before that google-benchmark describes the machine.
timeout 100 "$IOCTL" --ghostfs "$T/none" --benchmark_min_time=0.05 >"$T/said.out" 2>"$T/said.err"
[ $? = 3 ] && tail -n2 "$T/said.err" | head -n1 | grep -q "^ioctl_test: .*none" || t_fail "$(cat "$T/said.err")"
tail -n1 "$T/said.err" | grep -q "^hint: " || t_fail "no hint: $(cat "$T/said.err")"
grep -q BM_getpid "$T/said.out" || t_fail "$(cat "$T/said.out")"
timeout 100 "$TABLE3" --ghostfs "$T/none" --rounds 100 --print_format json >"$T/t.json" 2>"$T/err" ||
  t_fail "$? $(cat "$T/err")"
holds "len(rows) == 12 and all(rows[row] is None for row in range(1, 10))"
holds "0 < p(10) and p(12) > p(10)"
grep -q "no ghostfs at $T/none" "$T/t.json" || t_fail "$(cat "$T/t.json")"
t_pass

t_begin "the simulation's table needs no kernel, and is the same each time"
timeout 100 "$TABLE3" --simulate --rounds 100 --print_format json >"$T/t.json" || t_fail "$?"
holds "p(1) == 725 and p(3) == 888 and p(10) == 72 and t['group'] == 10 and p(9) < 10 * p(6)"
timeout 100 "$TABLE3" --simulate --rounds 100 --print_format json | cmp - "$T/t.json" || t_fail "they differ"
t_pass

t_begin "global_scalability none: Linux schedules"
timeout 100 "$SCALABILITY" none --global_cpu 0 --max_cpus 1 --total_loops 10000 >"$T/out" 2>"$T/err" ||
  { [ "$(nproc)" -lt 2 ] && t_skip "one CPU alone"; t_fail "$(cat "$T/err")"; }
head -1 "$T/out" | grep -qx "nr_task_cpus,scheds_per_sec,loops_per_thread" || t_fail "$(cat "$T/out")"
tail -1 "$T/out" | grep -qx "1,[1-9][0-9]*,2000" || t_fail "$(cat "$T/out")"
t_pass

t_begin "Table 3 over ghostd"
e_needs_ghostd
e_kernel --cpus=4 || t_fail
timeout 200 "$TABLE3" --rounds 200 --warm_up 20 --print_format json >"$T/t.json" 2>"$T/err" ||
  t_fail "$? $(cat "$T/err")"
holds "all(rows[row] is not None and rows[row]['rounds'] > 0 for row in range(1, 11)) and t['group'] == 3"
# What contains something else takes no less; a system call is in every row.
holds "p(6) >= p(5) and p(9) >= p(8) and all(p(row) > 0 for row in range(1, 11))"
holds "all(row['measured'] is None or row['measured']['p50_ns'] <= row['measured']['p99_ns'] for row in t['rows'])"
e_until 10 left_clean || t_fail "left: $(cat "$T/left")"
timeout 200 "$TABLE3" --rounds 50 --warm_up 5
t_pass

t_begin "Table 3: busy CPUs are said, a signal ends it and leaves nothing"
e_needs_ghostd
AGENT=agent_sol e_agent agent --ghost_cpus=0-3 || t_fail
t_says 5 "all CPUs belong to enclaves" "$TABLE3"
t_says 5 "enclave_" "$TABLE3" --ghost_cpus 0-1
e_stop agent INT || t_fail
e_until 10 left_clean || t_fail "left: $(cat "$T/left")"
e_start table "$TABLE3" --rounds 10000000
e_until 20 some_enclave || t_fail "it does not start"
kill -INT "${PID[table]}"
e_end table && [ "$STATUS" = 1 ] || t_fail "exit status $STATUS"
grep -q "paper_table3: interrupted" "$T/table.err" || t_fail "$(cat "$T/table.err")"
e_until 10 left_clean || t_fail "left: $(cat "$T/left")"
t_pass

t_begin "a null ioctl over ghostd"
e_needs_ghostd
timeout 100 "$IOCTL" --benchmark_min_time=0.05 >"$T/out" 2>"$T/err" || t_fail "$? $(cat "$T/err")"
grep -q "^BM_ghost_null_ioctl  *[1-9]" "$T/out" && grep -q "^BM_getpid  *[1-9]" "$T/out" || t_fail "$(cat "$T/out")"
e_until 10 left_clean || t_fail "left: $(cat "$T/left")"
t_pass

t_begin "global_scalability: a row for each number of CPUs, under each policy"
e_needs_ghostd
for policy in edf shinjuku sol fifo; do
  timeout 100 "$SCALABILITY" $policy --max_cpus 2 --total_loops 400 --o "$T/out" 2>"$T/err" ||
    t_fail "$? $(cat "$T/err")"
  [ "$(sed -n '2,$p' "$T/out" | grep -c "^[12],[1-9][0-9]*,\(80\|40\)$")" = 2 ] || t_fail "$policy: $(cat "$T/out")"
done
t_says 2 "max_cpus" "$SCALABILITY" sol --max_cpus 3
e_until 10 left_clean || t_fail "left: $(cat "$T/left")"
t_pass

t_begin "global_scalability in an enclave that is there, which is left as it was"
e_needs_ghostd
echo "create 7 91" >"$GHOSTFS/ctl"
echo 0-2 >"$GHOSTFS/enclave_7/cpulist"
timeout 100 "$SCALABILITY" sol --enclave 7 --global_cpu 2 --total_loops 100 >"$T/out" 2>"$T/err" ||
  t_fail "$? $(cat "$T/err")"
[ "$(grep -c "^1,[1-9][0-9]*,20$" "$T/out")" = 1 ] || t_fail "$(cat "$T/out")"
[ "$(cat "$GHOSTFS/enclave_7/cpulist")" = 0-2 ] || t_fail "$(cat "$GHOSTFS/enclave_7/cpulist")"
echo destroy >"$GHOSTFS/enclave_7/ctl"
e_until 10 left_clean || t_fail "left: $(cat "$T/left")"
t_pass

t_begin "global_scalability that is killed leaves no agent"
e_needs_ghostd
e_start scalability "$SCALABILITY" sol --max_cpus 1 --total_loops 100000000
e_until 20 active_enclave || t_fail "it does not start"
e_stop scalability KILL || t_fail
e_until 20 left_clean || t_fail "left: $(cat "$T/left" "$T/scalability.err")"
t_pass
