#!/bin/bash
# An agent that schedules in BPF ($AGENT), where there is no BPF for it: one line, a hint, the documented exit status.
# One that dies on its way: nothing stays loaded. ghostd goes on.
. tests/e2e/lib.sh
. tests/e2e/env.sh

PROGRAM=$BIN/$AGENT
FORBID=(/usr/bin/python3 tests/e2e/forbid.py)
BPF_MAP_CREATE=0 BPF_PROG_LOAD=5 BPF_BTF_LOAD=18
IOC_BPF_ATTACH=0x40186741 IOC_RUN=0x4018670b

ids() { /usr/bin/python3 tests/e2e/bpf_ids.py ${PID[ghostd]-} | sort; }
# Programs and maps that are there, and were not in $T/ids.
new_ids() { ids | comm -13 "$T/ids" -; }
nothing_new() { [ -z "$(new_ids)" ]; }
# What it leaves nobody holds, or ghostd does.
nothing_stays() { e_until 10 nothing_new || t_fail "stays loaded: $(new_ids | tr '\n' ' ')"; }

# refused STATUS PATTERN COMMAND...: it says so, and leaves no enclave and nothing loaded.
refused() {
  t_says "$@"
  nothing_stays
  e_until 10 no_enclave || t_fail "an enclave stays"
}
no_enclave() { ! ls -d "$GHOSTFS"/enclave_* >/dev/null 2>&1; }
destroy_enclaves() {
  local enclave
  for enclave in "$GHOSTFS"/enclave_*; do [ ! -e "$enclave" ] || echo destroy >"$enclave/ctl"; done
  e_until 10 no_enclave || t_fail "the enclave can't be destroyed"
}
ghostd_goes_on() {
  local enclave
  e_agent next || { t_fail "the next agent does not start: $(cat "$T/ghostd.err")"; return; }
  enclave=$(e_enclave_of next)
  [ "$(timeout 20 bash -c "echo \$\$ >$enclave/tasks && echo ran")" = ran ] || t_fail "nothing runs under it"
  e_stop next INT
}

e_kernel
ids >"$T/ids"

t_begin "bpf(2) is forbidden: exit status 4"
refused 4 "^$AGENT: cannot load the BPF programs of .*not permitted" "${FORBID[@]}" bpf EPERM -- \
  "$PROGRAM" --ghost_cpus "$CPUS"
t_pass

t_begin "a kernel without bpf(2): exit status 1, and which option it needs"
refused 1 "^$AGENT: cannot load the BPF programs" "${FORBID[@]}" bpf ENOSYS -- "$PROGRAM" --ghost_cpus "$CPUS"
grep -q "CONFIG_BPF_SYSCALL" "$T/said.err" || t_fail "$(cat "$T/said.err")"
t_pass

# 39 is CAP_BPF, 38 CAP_PERFMON; CAP_SYS_ADMIN includes both.
for without in "CAP_BPF and CAP_PERFMON:-cap_39,-cap_38" "CAP_BPF:-cap_39" "CAP_PERFMON:-cap_38"; do
  t_begin "without ${without%:*}: exit status 4"
  [ "$(id -u)" = 0 ] || t_skip "this is not root"
  refused 4 "^$AGENT: cannot load the BPF programs" setpriv "--bounding-set=${without#*:},-sys_admin" \
    "$PROGRAM" --ghost_cpus "$CPUS"
  grep -q "^hint: .*CAP_BPF and CAP_PERFMON" "$T/said.err" || t_fail "$(cat "$T/said.err")"
  t_pass
done

# Says whether the process that runs it can load a program.
LOAD='
import ctypes, os, struct
code = ctypes.create_string_buffer(bytes.fromhex("b700000000000000") + bytes.fromhex("9500000000000000"))
licence = ctypes.create_string_buffer(b"GPL")
attr = struct.pack("<IIQQ104x", 1, 2, ctypes.addressof(code), ctypes.addressof(licence))
libc = ctypes.CDLL(None, use_errno=True)
print("loaded" if libc.syscall(321, 5, attr, len(attr)) >= 0 else os.strerror(ctypes.get_errno()))'

t_begin "disable my bpf_prog_load: EPERM for this process, not for others, until it ends"
e_agent agent || t_fail
ctl=$(e_enclave_of agent)/ctl
said=$(bash -c "echo 'disable my bpf_prog_load' >$ctl && exec /usr/bin/python3 -c '$LOAD'")
if grep -q "forbids nothing here" "$T/ghostd.err"; then
  t_skip "$(grep "forbids nothing here" "$T/ghostd.err")"
else
  [ "$said" = "Operation not permitted" ] || t_fail "it says: $said"
fi
[ "$(/usr/bin/python3 -c "$LOAD")" = loaded ] || t_fail "others may not, either"
e_stop agent INT && [ "$STATUS" = 0 ] || t_fail "exit status $STATUS"
# ghostd keeps the program that forbids it.
ids >"$T/ids"
t_pass

t_begin "a kernel that shows no BTF: the agent needs none"
[ -e /sys/kernel/btf/vmlinux ] || t_skip "there is none"
e_start agent unshare --mount --propagation private sh -c 'mount -t tmpfs none /sys/kernel/btf && exec "$@"' sh \
  "$PROGRAM" --ghost_cpus "$CPUS"
e_expect agent "ghOSt active" || t_fail
e_stop agent INT && [ "$STATUS" = 0 ] || t_fail "exit status $STATUS"
nothing_stays
t_pass

# memory_group: a cgroup of ours, in $GROUP, and the file of its limit in $LIMIT.
memory_group() {
  local root file
  for root in /sys/fs/cgroup/memory /sys/fs/cgroup; do
    [ ! -e $root/cgroup.controllers ] || echo +memory 2>/dev/null >$root/cgroup.subtree_control
    GROUP=$root/ghost-test-$$
    mkdir "$GROUP" 2>/dev/null || continue
    for file in memory.limit_in_bytes memory.max; do
      LIMIT=$GROUP/$file
      [ ! -e "$LIMIT" ] || return 0
    done
    rmdir "$GROUP"
  done
  return 1
}

# With less memory the agent itself is killed; with more it starts.
t_begin "memory cgroups that are too small for its maps: exit status 1, and how much they take; nothing stays"
if memory_group; then
  seen=
  for mebibytes in 6 8 10 12 14 16 18 20 24 28 32 48 64; do
    echo ${mebibytes}M >"$LIMIT"
    timeout 60 bash -c 'echo $$ >"$1/cgroup.procs" && shift && { "$@" & }; wait' sh "$GROUP" "${FORBID[@]}" \
      ioctl:$IOC_RUN EIO -- "$PROGRAM" --ghost_cpus "$CPUS" >"$T/said.out" 2>"$T/said.err" </dev/null
    grep -q "memory" "$T/said.err" && grep -q "^hint: its maps take [0-9]* MiB" "$T/said.err" && seen+=" $mebibytes"
    echo "$mebibytes MiB: $(head -n 1 "$T/said.err")"
    nothing_stays
    destroy_enclaves
  done
  [ -n "$seen" ] || t_fail "it never said so"
  ghostd_goes_on
  e_until 10 rmdir "$GROUP" || t_fail "somebody stays in the cgroup"
  t_pass
else
  t_skip "no memory cgroup to be had here"
fi

t_begin "a limit on locked memory, which it may not raise, counts no more from Linux 5.11 on"
e_start agent setpriv --bounding-set=-sys_resource prlimit --memlock=65536 "$PROGRAM" --ghost_cpus "$CPUS"
e_expect agent "ghOSt active" || t_fail
e_stop agent INT && [ "$STATUS" = 0 ] || t_fail "exit status $STATUS"
nothing_stays
t_pass

while read -r step call; do
  t_begin "it is killed as it ${step//_/ }: nothing stays loaded"
  timeout 60 "${FORBID[@]}" "$call" kill -- "$PROGRAM" --ghost_cpus "$CPUS" >"$T/said.out" 2>"$T/said.err" </dev/null
  status=$?
  [ $status != 0 ] && [ $status != 124 ] || t_fail "exit status $status: it was not killed: $(cat "$T/said.out")"
  nothing_stays
  # Its parent may have tidied up; else the enclave stays for the next, as after any agent's death.
  destroy_enclaves
  ghostd_goes_on
  nothing_stays
  t_pass
done <<STEPS
describes_its_types bpf:$BPF_BTF_LOAD
makes_a_map bpf:$BPF_MAP_CREATE
loads_a_program bpf:$BPF_PROG_LOAD
attaches_a_program ioctl:$IOC_BPF_ATTACH
waits_for_the_first_time ioctl:$IOC_RUN
STEPS

t_begin "it is killed while it schedules: nothing stays loaded"
e_agent agent || t_fail
[ -n "$(/usr/bin/python3 tests/e2e/bpf_ids.py "${PID[ghostd]}" ${PID[agent]} $(pgrep -P "${PID[agent]}") | sort |
  comm -13 "$T/ids" -)" ] || t_fail "there was nothing to be seen before"
kill -9 $(pgrep -P "${PID[agent]}")
e_stop agent KILL
nothing_stays
destroy_enclaves
ghostd_goes_on
t_pass

# Last: a kernel that is locked down stays so. In a virtual machine only.
for level in integrity confidentiality; do
  t_begin "a kernel that is locked down ($level): it schedules, or says that it may not"
  lockdown=/sys/kernel/security/lockdown
  if [ -z "${VM_ACCEL-}" ] || ! [ -w $lockdown ]; then
    t_skip "only in a virtual machine of tests/vm"
    continue
  fi
  echo $level >$lockdown || t_fail "it can not be locked down: $(cat $lockdown)"
  e_start agent "$PROGRAM" --ghost_cpus "$CPUS"
  if e_expect agent "ghOSt active" 2>/dev/null; then
    echo "it schedules"
    e_stop agent INT && [ "$STATUS" = 0 ] || t_fail "exit status $STATUS"
  else
    e_stop agent KILL
    refused 4 "^$AGENT: cannot load the BPF programs" "$PROGRAM" --ghost_cpus "$CPUS"
    grep -q "^hint: .*locked-down" "$T/said.err" || t_fail "$(cat "$T/said.err")"
  fi
  nothing_stays
  t_pass
done
