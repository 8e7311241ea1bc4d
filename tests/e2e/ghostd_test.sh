#!/bin/bash
# ghostd from start to end, without agents: what it says, who may start it where, what it leaves behind.
. tests/e2e/lib.sh
. tests/e2e/env.sh

GHOSTD=$BIN/ghostd

# The pid of the guardian of the ghostd named "ghostd".
guardian() { pgrep -P "${PID[ghostd]}" -x ghostd-guardian; }

# Its shared-memory directory (it holds the directory's lock).
shm_of() { readlink "/proc/${PID[$1]}/fd/"* | grep -m 1 "/ghostd-[0-9]*$"; }

# nothing_left SHM: no mount, no directory of its making, no shared memory.
nothing_left() {
  ! mountpoint -q "$GHOSTFS" || { echo "$GHOSTFS is mounted"; return 1; }
  [ ! -e "$GHOSTFS" ] || { echo "$GHOSTFS is left"; return 1; }
  [ -n "$1" ] && [ ! -e "$1" ] || { echo "shared memory is left: $1"; return 1; }
}

if ! $E_OWN_KERNEL; then
  t_begin "ghostd"
  t_skip "the kernel at $GHOSTFS is not this script's own"
  exit 0
fi
t_begin "it says where, which CPUs, which ABIs and how, and then serves"
e_kernel || t_fail
case $LINE in
  "ghostd: serving $GHOSTFS, CPUs 0"*" (real), ABI 69-91, gate: "*) ;;
  *) t_fail "$LINE" ;;
esac
e_expect ghostd "ghostd: export GHOSTFS=$GHOSTFS" || t_fail
[ "$(tail -n 1 "$GHOSTFS/version")" = 91 ] || t_fail "$(cat "$GHOSTFS/version")"
t_pass

t_begin "a second one at the same place is told who is there, also by another name of it"
for path in "$GHOSTFS" "$GHOSTFS/" "$T/./ghost"; do
  "$GHOSTD" --mount "$path" >"$T/second.out" 2>"$T/second.err"
  [ $? = 5 ] || t_fail "not 5"
  grep -q "$GHOSTFS is already served by pid ${PID[ghostd]}" "$T/second.err" || t_fail "$(cat "$T/second.err")"
  grep -q "^hint: " "$T/second.err" || t_fail "no hint"
done
[ -r "$GHOSTFS/version" ] || t_fail "the first one is gone"
t_pass

t_begin "elsewhere there may be another one"
e_start other "$GHOSTD" --mount "$T/other" --cpus 8 --abi 69,84-91
e_expect other serving || t_fail
case $LINE in *"$T/other, CPUs 0-7 ("*", ABI 69,84-91, "*) ;; *) t_fail "$LINE" ;; esac
[ "$(nproc)" -ge 8 ] || case $LINE in *"(virtual, on "*) ;; *) t_fail "not virtual: $LINE" ;; esac
echo "create 1 69" >"$T/other/ctl" && echo 0-7 >"$T/other/enclave_1/cpulist" || t_fail "8 CPUs"
[ "$(cat "$T/other/enclave_1/cpulist")" = 0-7 ] || t_fail "$(cat "$T/other/enclave_1/cpulist")"
[ "$(ls "$GHOSTFS" | grep -c enclave)" = 0 ] || t_fail "the two share an enclave"
e_stop other TERM && [ "$STATUS" = 0 ] || t_fail "exit status $STATUS"
t_pass

t_begin "the end of its terminal does not end it"
kill -HUP "${PID[ghostd]}"
echo "create 1 91" >"$GHOSTFS/ctl" && [ -d "$GHOSTFS/enclave_1" ] || t_fail
t_pass

for signal in INT TERM; do
  t_begin "SIG$signal: it ends with 0 and leaves nothing, though a file is open and an enclave there"
  [ -n "${PID[ghostd]-}" ] || e_kernel || t_fail
  [ -d "$GHOSTFS/enclave_1" ] || echo "create 1 91" >"$GHOSTFS/ctl" || t_fail
  exec 9<"$GHOSTFS/enclave_1/status"
  guardian=$(guardian)
  shm=$(shm_of ghostd)
  e_stop ghostd $signal && [ "$STATUS" = 0 ] || t_fail "exit status ${STATUS-}: $(cat "$T/ghostd.err")"
  nothing_left "$shm" || t_fail
  ! kill -0 "$guardian" 2>/dev/null || t_fail "its guardian has stayed"
  ! cat <&9 2>"$T/cat.err" || t_fail "the open file can still be read"
  exec 9<&-
  t_pass
done

t_begin "killed, its guardian leaves nothing; started at once again, it waits for that and serves"
for i in 1 2 3 4 5; do
  e_kernel || t_fail "round $i"
  echo "create 1 91" >"$GHOSTFS/ctl" || t_fail "round $i"
  kill -9 "${PID[ghostd]}"
  e_end ghostd
done
e_kernel || t_fail
[ "$(ls "$GHOSTFS" | grep -c enclave)" = 0 ] || t_fail "an enclave is left"
guardian=$(guardian)
shm=$(shm_of ghostd)
kill -9 "${PID[ghostd]}"
tail --pid="$guardian" -s 0.02 -f /dev/null
e_end ghostd
nothing_left "$shm" || t_fail
t_pass

t_begin "killed together with its guardian, the next one tidies up"
e_kernel || t_fail
guardian=$(guardian)
kill -9 "$guardian" "${PID[ghostd]}"
e_end ghostd
cat "$GHOSTFS/version" 2>"$T/cat.err" && t_fail "who answers?"
e_kernel || t_fail
[ "$(cat "$GHOSTFS/version" | wc -l)" -gt 0 ] || t_fail
t_pass

t_begin "without its guardian it says so and goes on"
guardian=$(guardian)
kill -9 "$guardian"
e_until 20 grep -q "guardian (pid $guardian) is gone" "$T/ghostd.err" || t_fail "$(cat "$T/ghostd.err")"
[ -r "$GHOSTFS/version" ] || t_fail
e_kernel_stop
[ -d "$GHOSTFS" ] || t_fail "a directory that was there when it started is not its to remove"
rmdir "$GHOSTFS"
t_pass

t_begin "unmounted by somebody, it ends"
e_kernel || t_fail
shm=$(shm_of ghostd)
umount -l "$GHOSTFS" || t_fail
e_end ghostd && [ "$STATUS" = 0 ] || t_fail "exit status ${STATUS-}"
grep -q "was unmounted" "$T/ghostd.err" || t_fail "$(cat "$T/ghostd.err")"
nothing_left "$shm" || t_fail
t_pass

t_begin "a full or foreign mount point is left alone"
mkdir -p "$GHOSTFS" && touch "$GHOSTFS/precious" || t_fail
"$GHOSTD" --mount "$GHOSTFS" >"$T/full.out" 2>"$T/full.err"
[ $? = 5 ] || t_fail "not 5"
grep -q "not an empty directory" "$T/full.err" && grep -q "^hint: " "$T/full.err" || t_fail "$(cat "$T/full.err")"
[ -e "$GHOSTFS/precious" ] || t_fail
rm -r "$GHOSTFS"
t_pass
