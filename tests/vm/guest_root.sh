# PID 1 of run.sh's guest from then on: mounts what programs expect, runs the command, tells run.sh how it ended, and
# switches the machine off. Interpreted by busybox, which stands in for modprobe & co., so that the root needs none.
VM=/run/vm
. $VM/channel/settings
# First of all /proc: what shines through from below is this machine's, with QEMU as /proc/self.
$VM/busybox mount -t proc proc /proc
$VM/busybox mkdir $VM/bin
/run/vm/busybox --install -s $VM/bin
export PATH=$VM/bin

share() { mount -t 9p -o "trans=virtio,version=9p2000.L,msize=262144,$3" "$1" "$2"; }

# Kernels differ: what one does not have is left out.
try_mount() { # TYPE WHERE [OPTIONS]
  mkdir -p "$2" 2>/dev/null
  mount -t "$1" -o "${3:-defaults}" "$1" "$2" 2>/dev/null
}

mount -t sysfs sysfs /sys
mkdir -p /dev/pts /dev/shm /dev/mqueue
mount -t devpts -o mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
for fd in 0 1 2; do ln -sf /proc/self/fd/$fd /dev/$(echo stdin stdout stderr | cut -d ' ' -f $((fd + 1))); done
ln -sf /proc/self/fd /dev/fd
try_mount cgroup2 /sys/fs/cgroup
try_mount debugfs /sys/kernel/debug
try_mount tracefs /sys/kernel/tracing
try_mount bpf /sys/fs/bpf mode=700
try_mount securityfs /sys/kernel/security
try_mount mqueue /dev/mqueue

hostname ghost-vm
ifconfig lo 127.0.0.1 up 2>/dev/null
if [ -n "$HAS_MODULES" ]; then
  mkdir -p "/lib/modules/$(uname -r)"
  share modules "/lib/modules/$(uname -r)" ro,cache=loose
  ln -s busybox $VM/modprobe
  echo $VM/modprobe >/proc/sys/kernel/modprobe
  modprobe fuse 2>/dev/null
fi
[ ! -e /dev/fuse ] || chmod 666 /dev/fuse
try_mount fusectl /sys/fs/fuse/connections
if grep -qw ghost /proc/filesystems; then mount -t ghost ghost /sys/fs/ghost; fi

mkdir $VM/results
[ -z "$HAS_RESULTS" ] || share results $VM/results cache=none
export VM_RESULTS=$VM/results
ulimit -H -n 524288

# Kills all processes but those, and init; until none is left, as long as they fork.
kill_all_but() { # PID...
  local directory pid found=1
  while [ $found = 1 ]; do
    found=0
    for directory in /proc/[0-9]*; do
      pid=${directory#/proc/}
      case " 1 $* " in *" $pid "*) continue ;; esac
      # Threads of the kernel have no program.
      if readlink $directory/exe >/dev/null && kill -9 $pid 2>/dev/null; then found=1; fi
    done
  done
}

# Through pipes, since programs may open /dev/stdout anew: in a file they would write over what is there.
mkfifo $VM/stdout $VM/stderr
cat $VM/stdout >>$VM/channel/stdout &
copiers=$!
cat $VM/stderr >>$VM/channel/stderr &
copiers="$copiers $!"
echo "ghost_vm: running"
setsid "$SHELL_OF_CALLER" $VM/channel/command </dev/null >$VM/stdout 2>$VM/stderr &
wait $!
status=$?

# Whatever it has left behind may hold the pipes open.
kill_all_but $copiers
wait
echo $status >$VM/channel/status
sync
reboot -f
poweroff -f
