#!/bin/busybox sh
# PID 1 of run.sh's guest, until it has a root: the machine's, read-only over 9p, under a tmpfs that takes all changes.
# What goes wrong is one line on the console, which run.sh reads.
export PATH=/bin
/bin/busybox --install -s /bin

end() {
  [ -z "${1-}" ] || echo "ghost_vm: $1"
  reboot -f
  poweroff -f
  exit 1 # a panic ends the machine, too
}

mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
mount -t proc proc /proc
echo "ghost_vm: booted"
if grep -q ghost_vm.probe /proc/cmdline; then end; fi

for module in /modules/*.ko; do
  [ ! -e "$module" ] || insmod "$module" || end "cannot load ${module##*/}"
done
for type in 9p overlay; do
  grep -qw $type /proc/filesystems || end "the kernel lacks the file system $type"
done

share() { mount -t 9p -o "trans=virtio,version=9p2000.L,msize=262144,$3" "$1" "$2"; }

share root /lower ro,cache=loose || end "the kernel lacks 9p over virtio, or its PCI bus"
mount -t tmpfs -o mode=755,size=75% over /over
mkdir /over/upper /over/work
mount -t overlay -o lowerdir=/lower,upperdir=/over/upper,workdir=/over/work overlay /new ||
  end "cannot mount the overlay"
mount -t tmpfs -o mode=755 run /new/run || end "cannot mount /run"
mkdir -p /new/run/vm/channel /new/run/lock
share channel /new/run/vm/channel cache=none || end "cannot mount the channel"
cp /bin/busybox /new/run/vm/busybox
cp /new/run/vm/channel/guest_root.sh /new/run/vm/
mount --move /dev /new/dev
umount /proc
exec switch_root /new /run/vm/busybox sh /run/vm/guest_root.sh </new/dev/console >/new/dev/console 2>&1
