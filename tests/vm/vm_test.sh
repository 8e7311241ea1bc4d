#!/bin/bash
# run.sh keeps its promises, and ghostd works on the kernel that Debian 12 itself boots.
. tests/e2e/lib.sh
. tests/e2e/env.sh

RUN=$PWD/tests/vm/run.sh
export TMPDIR=$T

# vm STATUS ARG...: runs it, its outputs in $T/vm.out and $T/vm.err; fails the case unless it ends with STATUS.
vm() {
  local expected=$1 status
  shift
  "$RUN" "$@" >"$T/vm.out" 2>"$T/vm.err" </dev/null
  status=$?
  [ $status = "$expected" ] || t_fail "exit status $status, not $expected: $(tail -n 30 "$T/vm.out" "$T/vm.err")"
}

# says WHAT: one line with that text, and one hint.
says() {
  grep -q "^run.sh: .*$1" "$T/vm.err" || t_fail "no '$1' in: $(cat "$T/vm.err")"
  [ "$(grep -c "^hint: " "$T/vm.err")" = 1 ] || t_fail "not one hint: $(cat "$T/vm.err")"
}

# Processes of ours, and folders: each run has its own below $TMPDIR.
nothing_left() {
  ! grep -ls "$T/ghost-vm\." /proc/[0-9]*/cmdline && ! ls -d "$T"/ghost-vm.* 2>/dev/null
}

# needs_machine: skips the case where there is none to be had.
needs_machine() { [ -z "$NO_MACHINE" ] || t_skip "$NO_MACHINE"; }

t_begin "mistakes are one line and a hint, exit status 2"
while read -r text arguments; do
  # shellcheck disable=SC2086  # a list
  vm 2 $arguments
  says "$text"
done <<'MISTAKES'
command
command --
unknown --bogus -- true
needs --kernel
needs --kernel -- true
readable --kernel /nonexistent -- true
bzImage --kernel /etc/passwd -- true
package --debian=busybox -- true
one --debian --kernel /etc/passwd -- true
without --modules /lib -- true
--cpus: --cpus 0 -- true
--cpus: --cpus=1e3 -- true
--memory: --memory 16 -- true
--timeout: --timeout never -- true
auto --accel hvf -- true
written --results /proc/here -- true
MISTAKES
nothing_left || t_fail "something is left"
t_pass

t_begin "without QEMU it says what to install, exit status 125"
mkdir "$T/bin"
for tool in bash busybox cat dirname grep id readlink sed tr; do
  [ ! -x "$(command -v $tool)" ] || ln -s "$(command -v $tool)" "$T/bin/"
done
PATH=$T/bin vm 125 -- true
says "no qemu-system-x86_64"
t_pass

NO_MACHINE=
t_begin "status, streams, arguments, folder and results go through"
"$RUN" --results "$T/results" -- bash -c 'echo "$PWD|$1|$2|$(id -u)|$(uname -r)|$VM_ACCEL"; echo problem >&2
  echo result >$VM_RESULTS/file; echo x >/etc/ghost-vm-was-here; sleep 1000 & exit 37' - "a  'b' \$c" "" \
  >"$T/vm.out" 2>"$T/vm.err" </dev/null
status=$?
if [ $status = 125 ] && grep -qE "no qemu-system|no busybox|apt does not know|cannot get" "$T/vm.err"; then
  NO_MACHINE=$(grep -m 1 '^run.sh: [nac]' "$T/vm.err")
  t_skip "$NO_MACHINE"
fi
[ $status = 37 ] || t_fail "exit status $status: $(cat "$T/vm.err")"
cat "$T/vm.out"
IFS='|' read -r folder first second uid version accel <"$T/vm.out"
[ "$folder|$first|$second|$uid" = "$PWD|a  'b' \$c||0" ] || t_fail "$(cat "$T/vm.out")"
[ "$version" != "$(uname -r)" ] || t_fail "it is this machine's kernel: $version"
[[ $accel =~ ^(kvm|tcg)$ ]] || t_fail "VM_ACCEL is '$accel'"
grep -qx problem "$T/vm.err" || t_fail "standard error: $(cat "$T/vm.err")"
[ "$(cat "$T/results/file")" = result ] || t_fail "no result"
grep -aq "Linux version $version" "$T/results/console.log" || t_fail "the kernel's log has not its version"
[ ! -e /etc/ghost-vm-was-here ] || t_fail "it has changed this machine"
nothing_left || t_fail "something is left"
t_pass

t_begin "a kernel without 9p: it says which options it needs"
needs_machine
kernels=(/boot/vmlinuz-"$version" {/var/cache,"${XDG_CACHE_HOME:-${HOME-}/.cache}"}/ghost-vm/*/boot/vmlinuz-"$version")
kernel=$(ls "${kernels[@]}" 2>/dev/null | head -n 1)
vm 125 --kernel "$kernel" -- true
says "lacks the file system 9p"
grep -q CONFIG_NET_9P_VIRTIO "$T/vm.err" || t_fail "$(cat "$T/vm.err")"
t_pass

t_begin "time is up: exit status 124, one line, nothing left"
needs_machine
vm 124 --timeout 2 -- true
says "timeout: "
nothing_left || t_fail "something is left"
t_pass

for signal in TERM INT KILL; do
  t_begin "SIG$signal ends the machine with it"
  needs_machine
  # A background job of a script ignores SIGINT, and what it starts can't change that: hence env.
  e_start killed env --default-signal=INT "$RUN" --results "$T/$signal" -- sleep 1000
  e_until 200 grep -aqs "ghost_vm: booted" "$T/$signal/console.log" || t_fail "it does not boot: $(cat "$T/killed.err")"
  e_stop killed $signal || t_fail
  [ $STATUS -gt 128 ] || t_fail "exit status $STATUS"
  # A kill -9 leaves it no time for its folder.
  [ $signal != KILL ] || { e_until 10 nothing_left >/dev/null; rm -rf "$T"/ghost-vm.*; }
  nothing_left || t_fail "something is left"
  t_pass
done

t_begin "ghostd, a FIFO agent, simple_exp and the witness on Debian's kernel"
needs_machine
vm 0 --timeout 600 -- env BIN="$BIN" bash tests/vm/short_set.sh
cat "$T/vm.out"
t_pass

t_begin "the scheduling tools on Debian's kernel, and on a locked-down one"
needs_machine
vm 0 --timeout 600 -- env BIN="$BIN" bash tests/vm/tools_set.sh
cat "$T/vm.out" "$T/vm.err"
t_pass

t_begin "every BPF program passes the verifier of Debian's kernel"
needs_machine
vm 0 -- bash -c "tests/bpf/load_objects third_party/bpf && kernel/usermode/linux/load_ban_test"
cat "$T/vm.out"
! grep SKIPPED "$T/vm.out" || t_fail "nothing is forbidden to load on Debian's kernel"
grep -q ", 0 not for this kernel$" "$T/vm.out" || t_fail "some are left out"
t_pass

t_begin "agents that schedule in BPF do so on Debian's kernel: $BPF_AGENTS"
needs_machine
vm 0 -- env BIN="$BIN" bash -c 'for agent in "$@"; do
    "$BIN/ghostctl" run --policy "${agent#agent_}" --stats -- sh -c "seq 1 20000 | sort -n | tail -n 1" || exit 1
  done' - $BPF_AGENTS
cat "$T/vm.out" "$T/vm.err"
[ "$(grep -cx 20000 "$T/vm.out")" = "$(wc -w <<<"$BPF_AGENTS")" ] || t_fail "not all have run"
t_pass

# Of one of them: they all load in the same way, and killing each at every step takes minutes here.
agent=${BPF_AGENTS%% *}
t_begin "$agent on Debian's kernel: without BPF, killed as it loads, and on a locked-down kernel"
needs_machine
vm 0 --timeout 600 -- env BIN="$BIN" AGENT="$agent" bash tests/e2e/bpf_bad_input_test.sh
cat "$T/vm.out"
t_pass
