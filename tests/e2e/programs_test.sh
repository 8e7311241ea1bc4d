#!/bin/bash
# Other people's programs, unmodified, under ghostctl run: all of their threads and children, and the right results.
. tests/e2e/lib.sh
. tests/e2e/env.sh

# run COMMAND...: under FIFO on two CPUs, with statistics in $T/stats.
run() {
  "$GHOSTCTL" run --policy fifo_per_cpu --cpus "$CPUS" -- "$@" 2>"$T/errors"
}

e_kernel

t_begin "stress-ng --cpu 4 --timeout 5s"
run stress-ng --cpu 4 --timeout 5s >"$T/out" || t_fail "exit status $?: $(cat "$T/out" "$T/errors")"
t_pass

t_begin "xz -T4 compresses and gives back the same"
head -c 20000000 /dev/urandom | base64 >"$T/plain"
run xz -T4 -0 -k -c "$T/plain" >"$T/plain.xz" || t_fail "exit status $?: $(cat "$T/errors")"
xz -d -c "$T/plain.xz" | cmp - "$T/plain" || t_fail "another text"
t_pass

t_begin "a Python program with threads"
run python3 -c '
import threading, queue
results = queue.Queue()
def work(n):
    results.put(sum(i * i for i in range(n)))
threads = [threading.Thread(target=work, args=(20000 + i,)) for i in range(16)]
for t in threads: t.start()
for t in threads: t.join()
print(results.qsize(), "results")
' >"$T/out" || t_fail "exit status $?: $(cat "$T/errors")"
[ "$(cat "$T/out")" = "16 results" ] || t_fail "$(cat "$T/out")"
t_pass

t_begin "sh -c 'a | b'"
run sh -c 'seq 1 100000 | sort -rn | head -n 1' >"$T/out" || t_fail "exit status $?: $(cat "$T/errors")"
[ "$(cat "$T/out")" = 100000 ] || t_fail "$(cat "$T/out")"
t_pass

t_begin "every thread and child is a task of the enclave"
run sh -c 'sh -c "sleep 0.01; read p r < /proc/self/stat; grep -x \$\$ $GHOSTFS/enclave_*/tasks" & wait $!' \
  >"$T/out" || t_fail "the child is in no enclave: $(cat "$T/errors")"
t_pass

t_begin "ghostd --cpus 8 offers eight CPUs, whatever the machine has, and 0-7 works"
e_needs_ghostd
e_kernel_stop
e_kernel --cpus 8 || t_fail
"$GHOSTCTL" run --cpus 0-7 -- stress-ng --cpu 8 --timeout 2s >"$T/out" 2>&1 || t_fail "$(cat "$T/out")"
e_agent agent --ghost_cpus 0-7 || t_fail
[ "$(cat "$(e_enclave_of agent)/cpulist")" = 0-7 ] || t_fail "$(cat "$(e_enclave_of agent)/cpulist")"
e_stop agent INT || t_fail
t_pass
