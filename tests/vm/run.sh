#!/bin/bash
# Runs a command on another kernel: boots it in a virtual machine whose files are this machine's.
#
# Usage: tests/vm/run.sh [OPTION...] -- CMD [ARG...]
#
#   --kernel BZIMAGE     the kernel to boot, e.g. a ghost kernel's arch/x86/boot/bzImage
#   --modules DIR        its lib/modules/VERSION, if virtio, 9p or overlayfs are modules
#   --debian[=PACKAGE]   Debian's own kernel (linux-image-amd64, or e.g. linux-image-6.12-amd64) with its modules;
#                        this is what happens without --kernel
#   --cpus N             processors of the machine (2)
#   --memory MB          its memory (2048)
#   --timeout SECONDS    from boot to power-off (600)
#   --results DIR        CMD finds this folder at $VM_RESULTS, writable; the kernel's log comes there as console.log
#   --accel A            kvm, tcg, or auto: KVM where a guest really boots with it, else QEMU's own interpreter
#   --cache DIR          where Debian's kernels are kept (/var/cache/ghost-vm as root, else in ~/.cache)
#
# CMD runs as root, in the folder where this was called, and sees this machine's files; what it changes is forgotten.
# Its output comes as it is written, and its exit status is this script's. Standard input is empty. There is no network.
# With it end all processes that it has started. On a ghost kernel, ghostfs is mounted at /sys/fs/ghost. Of the caller's
# variables CMD has PATH, HOME, LANG, LC_ALL, TERM and TZ, and besides VM_ACCEL, kvm or tcg; others with env NAME=VALUE.
#
# Exit status: CMD's own; 2 usage; 124 time is up; 125 there is no machine (no QEMU, no kernel, it did not boot).
set -uo pipefail

HERE=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
. "$HERE/kernel.sh"

KERNEL=
MODULES=
PACKAGE=linux-image-amd64
CPUS=2
MEMORY=2048
TIMEOUT=600
RESULTS=
ACCEL=auto
CACHE=
COMMAND=()

SCRATCH=     # this run's own folder
MACHINE=     # the pid that is the virtual machine to us
FOLLOWERS=() # the pids that copy the command's output

complain() { # MESSAGE [HINT]
  echo "run.sh: $1" >&2
  [ -z "${2-}" ] || echo "hint: $2" >&2
}
usage() {
  complain "$1" "${2:-tests/vm/run.sh --help}"
  exit 2
}
no_machine() {
  complain "$@"
  exit 125
}

number() { # OPTION VALUE LEAST MOST
  [[ $2 =~ ^[0-9]{1,9}$ ]] && [ $((10#$2)) -ge "$3" ] && [ $((10#$2)) -le "$4" ] || usage "$1: not from $3 to $4: '$2'"
}

parse() {
  local value debian=false
  while [ $# -gt 0 ]; do
    case $1 in
      --) shift; COMMAND=("$@"); break ;;
      --help) sed -n '2,/^set /s/^# \{0,1\}//p' "$0"; exit 0 ;;
      --debian) debian=true; shift; continue ;;
      --debian=*) debian=true; PACKAGE=${1#*=}; shift; continue ;;
      --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}"; continue ;;
      --kernel | --modules | --cpus | --memory | --timeout | --results | --accel | --cache)
        [ $# -ge 2 ] && [ "$2" != -- ] || usage "$1 needs a value"
        ;;
      *) usage "unknown argument: $1" "the command stands behind --; see tests/vm/run.sh --help" ;;
    esac
    value=$2
    case $1 in
      --kernel) KERNEL=$value ;;
      --modules) MODULES=$value ;;
      --cpus) number "$1" "$value" 1 255; CPUS=$((10#$value)) ;;
      --memory) number "$1" "$value" 256 1048576; MEMORY=$((10#$value)) ;;
      --timeout) number "$1" "$value" 1 604800; TIMEOUT=$((10#$value)) ;;
      --results) RESULTS=$value ;;
      --accel) [[ $value =~ ^(auto|kvm|tcg)$ ]] || usage "--accel: not auto, kvm or tcg: '$value'"; ACCEL=$value ;;
      --cache) CACHE=$value ;;
    esac
    shift 2
  done
  [ ${#COMMAND[@]} -gt 0 ] || usage "no command" "the command stands behind --; see tests/vm/run.sh --help"
  ! $debian || [ -z "$KERNEL" ] || usage "--kernel and --debian: one of them"
  [ -z "$MODULES" ] || [ -n "$KERNEL" ] || usage "--modules without --kernel"
  [[ $PACKAGE =~ ^linux-image-[a-z0-9.+-]+$ ]] || usage "--debian: not a linux-image package: '$PACKAGE'"
  if [ -n "$KERNEL" ]; then
    [ -f "$KERNEL" ] && [ -r "$KERNEL" ] || usage "--kernel $KERNEL: not a readable file"
    # The boot protocol's magic number: everything else makes QEMU hang or say something obscure.
    [ "$(dd if="$KERNEL" bs=1 skip=514 count=4 2>/dev/null | tr -d '\0')" = HdrS ] ||
      usage "--kernel $KERNEL: not a bzImage" "after a kernel's build it is arch/x86/boot/bzImage"
  fi
}

# What has to be there before anything is made.
check_tools() {
  command -v qemu-system-x86_64 >/dev/null ||
    no_machine "no qemu-system-x86_64" "apt-get install --no-install-recommends qemu-system-x86, or util/setup.sh"
  command -v busybox >/dev/null && busybox --list | grep -x switch_root >/dev/null ||
    no_machine "no busybox (a static one, with switch_root)" "apt-get install busybox-static, or util/setup.sh"
  [ -z "$CACHE" ] || mkdir -p "$CACHE" 2>/dev/null || usage "--cache $CACHE: cannot be made"
  if [ -z "$CACHE" ]; then
    if [ "$(id -u)" = 0 ]; then CACHE=/var/cache/ghost-vm; else CACHE=${XDG_CACHE_HOME:-${HOME-}/.cache}/ghost-vm; fi
    mkdir -p "$CACHE" 2>/dev/null || no_machine "cannot make $CACHE" "name a folder with --cache"
  fi
  if [ -n "$RESULTS" ]; then
    mkdir -p "$RESULTS" 2>/dev/null && [ -w "$RESULTS" ] || usage "--results $RESULTS: cannot be written"
    RESULTS=$(readlink -f "$RESULTS")
  fi
}

# machine SECONDS ACCEL CONSOLE [QEMU-OPTION...]: boots it, in the background, as $MACHINE. That is a timeout(1), so 124
# at its end says that time was up. Whoever of us dies, even by kill -9, takes along what it has started.
machine() {
  local seconds=$1 accel=$2 console=$3 append="console=ttyS0 panic=-1"
  shift 3
  local processor=max
  case $accel in
    # What KVM can't do well anyway only costs here: paging in five levels, precautions against the CPU's own faults.
    tcg) accel=tcg,thread=multi processor=max,la57=off append+=" mitigations=off tsc=reliable" ;;
  esac
  setpriv --pdeathsig TERM timeout --foreground -k 5 "$seconds" setpriv --pdeathsig KILL \
    qemu-system-x86_64 -nodefaults -no-user-config -display none -monitor none -no-reboot \
    -machine q35 -accel "$accel" -cpu "$processor" -smp "$CPUS" -m "$MEMORY" -serial "file:$console" \
    -kernel "$KERNEL" -initrd "$SCRATCH/initramfs" -append "$append${PROBE:+ ghost_vm.probe}" "$@" \
    </dev/null >"$SCRATCH/qemu.log" 2>&1 &
  MACHINE=$!
}

# await: until the machine is off; returns its exit status. Without bash's own report of a QEMU that has died.
await() {
  { wait "$MACHINE"; } 2>/dev/null
  local status=$?
  MACHINE=
  return $status
}

# share TAG DIR READONLY: QEMU's options for a folder of ours that the guest can mount.
share() {
  local path=${2//,/,,} # QEMU's way to quote a comma
  SHARES+=(-fsdev "local,id=$1,path=$path,security_model=none,multidevs=remap,readonly=$3")
  SHARES+=(-device "virtio-9p-pci,fsdev=$1,mount_tag=$1")
}

# Whether a guest gets as far as our init with KVM. /dev/kvm alone says little: inside some virtual machines it is there
# and guests crawl or die. The answer is kept until the next boot.
kvm_works() {
  [ -r /dev/kvm ] && [ -w /dev/kvm ] || return 1
  local key answer
  key="$(cat /proc/sys/kernel/random/boot_id) $(qemu-system-x86_64 --version | head -n 1)"
  if [ -r "$CACHE/kvm" ] && [ "$(head -n 1 "$CACHE/kvm")" = "$key" ]; then
    [ "$(tail -n 1 "$CACHE/kvm")" = yes ]
    return
  fi
  answer=no
  PROBE=1 machine 15 kvm "$SCRATCH/probe.log"
  await && grep -q "ghost_vm: booted" "$SCRATCH/probe.log" && answer=yes
  printf '%s\n' "$key" "$answer" >"$SCRATCH/kvm"
  mv "$SCRATCH/kvm" "$CACHE/kvm"
  [ $answer = yes ]
}

# What the guest's side finds in its channel: the command, and what it needs to know of us.
write_channel() {
  local name
  mkdir "$SCRATCH/channel"
  : >"$SCRATCH/channel/stdout"
  : >"$SCRATCH/channel/stderr"
  cp "$HERE/guest_root.sh" "$SCRATCH/channel/"
  printf 'HAS_RESULTS=%s HAS_MODULES=%s SHELL_OF_CALLER=%q\n' "${RESULTS:+1}" "${MODULES:+1}" "$BASH" \
    >"$SCRATCH/channel/settings"
  {
    printf 'cd %q || exit 125\n' "$PWD"
    for name in PATH HOME LANG LC_ALL TERM TZ; do
      [ -z "${!name-}" ] || printf 'export %s=%q\n' "$name" "${!name}"
    done
    echo "export VM_ACCEL=$ACCEL"
    printf 'exec'
    printf ' %q' "${COMMAND[@]}"
    echo
  } >"$SCRATCH/channel/command"
}

cleanup() {
  if [ -n "$MACHINE" ]; then
    kill "$MACHINE" 2>/dev/null
    await
  fi
  # They see the machine's end, too, but a moment later.
  if [ ${#FOLLOWERS[@]} -gt 0 ]; then
    kill "${FOLLOWERS[@]}" 2>/dev/null
    { wait "${FOLLOWERS[@]}"; } 2>/dev/null
  fi
  [ -z "$SCRATCH" ] || rm -rf "$SCRATCH"
}

# Why there is no exit status of CMD's.
explain() { # STATUS-OF-THE-MACHINE CONSOLE
  local said
  said=$(grep -ao 'ghost_vm: .*' "$2" 2>/dev/null | tr -d '\r' | grep -v -e ': booted' -e ': running' | head -n 1)
  if [ "$1" = 124 ] || [ "$1" = 137 ]; then
    if grep -aq 'ghost_vm: running' "$2" 2>/dev/null; then
      complain "timeout: the command has not ended within $TIMEOUT s" "--timeout SECONDS"
    else
      complain "timeout: the kernel has not come up within $TIMEOUT s" "see the kernel's log: --results DIR keeps it"
    fi
    exit 124
  fi
  case $said in
    *"lacks "*)
      no_machine "${said#ghost_vm: }" "build it with CONFIG_9P_FS, CONFIG_NET_9P_VIRTIO, CONFIG_VIRTIO_PCI and \
CONFIG_OVERLAY_FS, or name its modules with --modules"
      ;;
    ?*) no_machine "the guest: ${said#ghost_vm: }" ;;
  esac
  [ ! -s "$SCRATCH/qemu.log" ] || no_machine "QEMU: $(head -n 1 "$SCRATCH/qemu.log")"
  tail -n 5 "$2" 2>/dev/null | tr -d '\r' >&2
  no_machine "the machine has ended before the command did; above are the last lines of its log" \
    "--results DIR keeps all of it, as console.log"
}

main() {
  parse "$@"
  check_tools
  trap cleanup EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  trap 'exit 129' HUP
  SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/ghost-vm.XXXXXX") || exit 125
  [ -n "$KERNEL" ] || debian_kernel
  initramfs
  if [ "$ACCEL" = auto ]; then
    if kvm_works; then ACCEL=kvm; else ACCEL=tcg; fi
  fi

  write_channel
  SHARES=()
  share root / on
  share channel "$SCRATCH/channel" off
  [ -z "$RESULTS" ] || share results "$RESULTS" off
  [ -z "$MODULES" ] || share modules "$MODULES" on
  local console=${RESULTS:-$SCRATCH}/console.log status stream
  machine "$TIMEOUT" "$ACCEL" "$console" "${SHARES[@]}"
  for stream in stdout stderr; do
    tail -c +1 -s 0.1 --pid="$MACHINE" -f "$SCRATCH/channel/$stream" >&$([ $stream = stdout ] && echo 1 || echo 2) &
    FOLLOWERS+=($!)
  done
  await
  status=$?
  wait "${FOLLOWERS[@]}"
  FOLLOWERS=()
  [ -s "$SCRATCH/channel/status" ] || explain "$status" "$console"
  exit "$(cat "$SCRATCH/channel/status")"
}

main "$@"
