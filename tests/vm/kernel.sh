# The kernel that run.sh boots, and its initramfs. Sourced by run.sh, whose variables these functions read and set:
# KERNEL, MODULES, PACKAGE, CACHE, SCRATCH.

# What a guest must have before it sees its root, in the order of `insmod`.
NEEDED="virtio_pci 9pnet_virtio 9p overlay"

# debian_version: the kernel's version that PACKAGE (linux-image-amd64, say) stands for today, or nothing.
debian_version() {
  local real
  real=$(apt-cache depends "$PACKAGE" 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
  [ -n "$real" ] || ! apt-cache show "$PACKAGE" >/dev/null 2>&1 || real=$PACKAGE
  real=${real#linux-image-}
  echo "${real%-unsigned}"
}

# fetch VERSION: puts the package's kernel and modules into the cache, all or nothing.
fetch() {
  local folder=$SCRATCH/fetch
  mkdir "$folder"
  echo "run.sh: fetching linux-image-$1 into $CACHE" >&2
  # As root apt would hand the download to a user who may not write here.
  (cd "$folder" && apt-get -qq -o APT::Sandbox::User=root download "linux-image-$1") >"$SCRATCH/apt.log" 2>&1 ||
    return 1
  # Drivers for real hardware are most of it: the machine has none.
  dpkg-deb --fsys-tarfile "$folder"/*.deb | tar -xf - -C "$folder" --exclude='*/kernel/drivers/[!bcv]*' \
    --exclude='*/kernel/sound' --exclude='*/usr/share' || return 1
  [ ! -d "$folder/usr/lib/modules" ] || { mkdir -p "$folder/lib" && mv "$folder/usr/lib/modules" "$folder/lib/"; }
  find "$folder/lib/modules" -name '*.ko.xz' -exec xz -d {} +
  busybox depmod -b "$folder" "$1" 2>>"$SCRATCH/apt.log" || return 1
  rm -f "$folder"/*.deb
  rm -rf "$CACHE/$1"
  mv "$folder" "$CACHE/$1"
}

# debian_kernel: sets KERNEL and MODULES to Debian's. An installed package is taken as it is.
debian_kernel() {
  local version
  version=$(debian_version)
  if [ -z "$version" ] && [ "$(id -u)" = 0 ]; then
    apt-get -qq update >"$SCRATCH/apt.log" 2>&1 </dev/null
    version=$(debian_version)
  fi
  [ -n "$version" ] ||
    no_machine "apt does not know the package $PACKAGE" "apt-get update; or boot a kernel of your own with --kernel"
  if [ -r "/boot/vmlinuz-$version" ] && [ -r "/lib/modules/$version/modules.dep" ]; then
    KERNEL=/boot/vmlinuz-$version
    MODULES=/lib/modules/$version
    return
  fi
  KERNEL=$CACHE/$version/boot/vmlinuz-$version
  MODULES=$CACHE/$version/lib/modules/$version
  # Two at once would fetch it twice.
  exec {LOCK}>"$CACHE/lock"
  flock "$LOCK"
  if [ ! -r "$KERNEL" ] && ! fetch "$version"; then
    # The lists may be older than what the mirror has.
    rm -rf "$SCRATCH/fetch"
    [ "$(id -u)" != 0 ] || apt-get -qq update >>"$SCRATCH/apt.log" 2>&1 </dev/null
    fetch "$version" || no_machine "cannot get linux-image-$version: $(grep -m 1 '^[EW]:' "$SCRATCH/apt.log")" \
      "apt-get update; or boot a kernel of your own with --kernel"
  fi
  exec {LOCK}>&-
}

# module_files NAME...: the files of these modules and of those that they need, each after what it needs. A module that
# is built in has none; one that is not there at all is an error, named on standard output.
module_files() {
  awk -v names="$*" '
    function base(path) { sub(/.*\//, "", path); sub(/\.ko.*/, "", path); gsub(/-/, "_", path); return path }
    FILENAME ~ /builtin$/ { built_in[base($1)] = 1; next }
    { file = $1; sub(/:$/, "", file); of[base(file)] = file; needs[file] = ""
      for (i = NF; i > 1; --i) needs[file] = needs[file] " " $i }
    function add(file,   n, i, part) {
      if (file in done) return
      done[file] = 1
      n = split(needs[file], part, " ")
      for (i = 1; i <= n; ++i) add(part[i])
      print file
    }
    END {
      n = split(names, name, " ")
      for (i = 1; i <= n; ++i) {
        if (name[i] in of) add(of[name[i]])
        else if (!(name[i] in built_in)) { print name[i]; exit 1 }
      }
    }' "$MODULES/modules.builtin" "$MODULES/modules.dep"
}

# initramfs: builds $SCRATCH/initramfs: busybox, guest_init.sh and the modules, named in the order of loading.
initramfs() {
  local tree=$SCRATCH/tree files file target count=100
  mkdir -p "$tree"/bin "$tree"/modules "$tree"/dev "$tree"/proc "$tree"/lower "$tree"/over "$tree"/new
  cp "$(command -v busybox)" "$tree/bin/busybox"
  cp "$HERE/guest_init.sh" "$tree/init"
  chmod +x "$tree/init"
  if [ -n "$MODULES" ]; then
    MODULES=$(readlink -f "$MODULES")
    [ -r "$MODULES/modules.dep" ] && [ -r "$MODULES/modules.builtin" ] ||
      usage "--modules $MODULES: no modules.dep and modules.builtin there" "it is lib/modules/VERSION"
    # shellcheck disable=SC2086  # a list
    files=$(module_files $NEEDED) || no_machine "no module '$(tail -n 1 <<<"$files")' in $MODULES" \
      "build the kernel with CONFIG_9P_FS, CONFIG_NET_9P_VIRTIO, CONFIG_VIRTIO_PCI and CONFIG_OVERLAY_FS"
    for file in $files; do
      target=$tree/modules/$((count++))-$(basename "$file")
      case $file in
        *.xz) xz -dc "$MODULES/$file" >"${target%.xz}" ;;
        *.gz) gzip -dc "$MODULES/$file" >"${target%.gz}" ;;
        *.zst) zstd -qdc "$MODULES/$file" >"${target%.zst}" ;;
        *) cp "$MODULES/$file" "$target" ;;
      esac || no_machine "cannot read $MODULES/$file"
    done
  fi
  (cd "$tree" && find . | busybox cpio -o -H newc >"$SCRATCH/initramfs" 2>/dev/null) ||
    no_machine "cannot write $SCRATCH"
}
