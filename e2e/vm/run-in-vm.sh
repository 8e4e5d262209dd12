#!/bin/bash
# run-in-vm.sh CMD [ARG...]
#
# Runs CMD as an unprivileged user in a throw-away VM whose kernel has cgroup v2
# only, with cpu, memory and pids delegated to that user. CMD sees this machine's
# files at the same paths (a copy-on-write overlay: nothing it writes is kept) and
# starts in the current directory. Its stdout, stderr and exit code become ours.
#
#   VM_SYSTEMD=1           boot this machine's systemd as PID 1 and run CMD in a unit of the
#                          user's own systemd, as a terminal is
#   VM_UID=1500 VM_MEM=2048 (MiB) VM_CPUS=2 VM_TIMEOUT=300 (s, the whole VM)
#   VM_ENV="A B"           names of variables to pass on
#   VM_SUITE=bookworm-backports   the kernel of that suite, else this machine's
#   VM_CACHE=DIR           downloads and the initramfs        VM_VERBOSE=1  times, console log
# Exit code: CMD's; 125 = the VM failed (console log on stderr).
set -euo pipefail
: "${VM_SYSTEMD:=0}" "${VM_UID:=1500}" "${VM_MEM:=2048}" "${VM_CPUS:=2}"
: "${VM_TIMEOUT:=300}" "${VM_ENV:=}" "${VM_CACHE:=/var/cache/aigate-e2e/vm}" "${VM_VERBOSE:=0}"
export PATH=$PATH:/usr/sbin:/sbin
[ $# -gt 0 ] || { sed -n '2,17s/^# \{0,1\}//p' "$0"; exit 125; }
die() { echo "run-in-vm: $*" >&2; exit 125; }

# ---------------------------------------------------------------- assets (once)
APT=()
suite() { # private apt lists for another suite on the mirror that this machine uses
  local d=$VM_CACHE/apt-$1 uri
  APT=(-o "Dir::Etc::SourceList=$d/sources.list" -o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$d/lists" -o "Dir::Cache=$d/cache")
  [ -e "$d/.ok" ] && return
  mkdir -p "$d/lists/partial" "$d/cache"
  uri=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME)' 'Created-By: Packages' | awk -v c="${1%-backports}" '$2==c{print $1;exit}')
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $1 main" >"$d/sources.list"
  apt-get "${APT[@]}" -o APT::Sandbox::User=root -qq update || die "apt-get update for $1"
  touch "$d/.ok"
}
fetch_deb() { # package -> unpacked under $VM_CACHE/$1; nothing is installed
  [ -e "$VM_CACHE/$1/.ok" ] && return
  mkdir -p "$VM_CACHE/deb.$1" "$VM_CACHE/$1"
  (cd "$VM_CACHE/deb.$1" && apt-get "${APT[@]}" -o APT::Sandbox::User=root download "$1" >/dev/null) || die "apt-get download $1"
  dpkg -x "$VM_CACHE/deb.$1"/*.deb "$VM_CACHE/$1"; rm -r "$VM_CACHE/deb.$1"; touch "$VM_CACHE/$1/.ok"
}
assets() {
  command -v qemu-system-x86_64 >/dev/null || die "apt-get install --no-install-recommends qemu-system-x86"
  [ -n "${VM_SUITE:-}" ] && suite "$VM_SUITE"
  KPKG=$(apt-cache "${APT[@]}" depends linux-image-amd64 | awk '/Depends:/{print $2;exit}')
  VMLINUX=$VM_CACHE/vmlinux-$KPKG INITRD=$VM_CACHE/initrd-$KPKG.gz
  [ -e "$INITRD" ] && [ "$INITRD" -nt "$0" ] && return
  fetch_deb "$KPKG"; APT=(); fetch_deb busybox-static
  local k=$VM_CACHE/$KPKG v=${KPKG#linux-image-} b hdr off len d m
  b=$k/boot/vmlinuz-$v
  # The uncompressed vmlinux boots through PVH: 4 s less than bzImage under TCG.
  u() { od -An -j"$1" -N"$2" -t"u$2" "$b" | tr -d ' '; }
  hdr=$(u 497 1); off=$(u 584 4); len=$(u 588 4)
  off=$(( (${hdr/#0/4} + 1) * 512 + off ))
  pay() { tail -c +$((off + 1)) "$b" | head -c "$len"; }
  case $(pay | head -c 4 | od -An -tx1 | tr -d ' ') in
    fd377a58) pay | xz -dc 2>/dev/null >"$VMLINUX" || :;;
    28b52ffd) pay | zstd -dc 2>/dev/null >"$VMLINUX" || :;;
    *) cp "$b" "$VMLINUX";;
  esac
  d=$VM_CACHE/ird; rm -rf "$d"; mkdir -p "$d"/{bin,dev,proc,sys,lower,rw,new,mod}
  cp "$VM_CACHE/busybox-static/bin/busybox" "$d/bin/"; "$d/bin/busybox" --install -s "$d/bin"
  for f in "$d"/bin/*; do [ -L "$f" ] && ln -sf busybox "$f"; done
  [ -e "$k/lib/modules/$v/modules.dep" ] || depmod -b "$k" "$v"
  for m in virtio_pci virtio_console 9pnet_virtio 9p overlay tun veth nf_tables nft_ct nft_reject_inet nft_chain_nat fuse; do
    modprobe -d "$k" -S "$v" --show-depends "$m" | awk '/^insmod/{print $2}' || true
  done | awk '!s[$0]++' | while read -r m; do
    n=$(basename "$m"); case $n in *.xz) xz -dc "$m" >"$d/mod/${n%.xz}"; n=${n%.xz};; *) cp "$m" "$d/mod/";; esac
    echo "$n" >>"$d/mod/list"; done
  cat >"$d/init" <<'INIT'
#!/bin/sh
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
while read m; do insmod /mod/$m 2>/dev/null || echo "insmod $m failed"; done </mod/list
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro root /lower || echo no 9p root
mount -t tmpfs -o mode=755 rw /rw; mkdir /rw/up /rw/wk
mount -t overlay -o lowerdir=/lower,upperdir=/rw/up,workdir=/rw/wk root /new || echo no overlay
mkdir -p /new/vm/ctl
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000 ctl /new/vm/ctl
mount --move /dev /new/dev; mount --move /proc /new/proc; mount --move /sys /new/sys
exec switch_root /new /vm/ctl/guest
INIT
  chmod +x "$d/init"
  (cd "$d" && find . | cpio -o -H newc --quiet | gzip -1) >"$INITRD.tmp"; mv "$INITRD.tmp" "$INITRD"
}
mkdir -p "$VM_CACHE"; assets

# ---------------------------------------------------------------- this run
CTL=$(mktemp -d /tmp/run-in-vm.XXXXXX); trap 'rm -rf "$CTL"' EXIT
printf '%q ' "$@" >"$CTL/cmd"; pwd >"$CTL/cwd"
for n in $VM_ENV; do [ -v "$n" ] && printf '%s=%q\n' "$n" "${!n}"; done >"$CTL/env"
cat >"$CTL/conf" <<C
U=$VM_UID SYSTEMD=$VM_SYSTEMD VM_SDLOG=${VM_SDLOG:-}
C
cat >"$CTL/guest" <<'GUEST'
#!/bin/bash
# In the VM, PID 1, root on the overlay: makes the user and hands over.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; umask 022
. /vm/ctl/conf
mount -t tmpfs -o mode=755 tmpfs /run; mkdir -p /run/lock /dev/pts /dev/shm
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts; mount -t tmpfs -o mode=1777 shm /dev/shm
grep -q "^[^:]*:[^:]*:$U:" /etc/passwd || echo "vmtest:x:$U:$U::/home/vmtest:/bin/bash" >>/etc/passwd
grep -q "^vmtest:" /etc/passwd && ! grep -q "^vmtest:" /etc/shadow && echo 'vmtest:*:19000:0:99999:7:::' >>/etc/shadow   # for pam_unix
grep -q "^[^:]*:[^:]*:$U:" /etc/group || echo "vmtest:x:$U:" >>/etc/group
USR=$(awk -F: -v u="$U" '$3==u{print $1;exit}' /etc/passwd); HOM=$(awk -F: -v u="$U" '$3==u{print $6;exit}' /etc/passwd)
grep -q "^$USR:" /etc/subuid 2>/dev/null || { echo "$USR:700000:65536" >>/etc/subuid; echo "$USR:700000:65536" >>/etc/subgid; }
mkdir -p "$HOM"; chown "$U:$U" "$HOM"; chmod 700 "$HOM"
[ -e /dev/net/tun ] && chmod 666 /dev/net/tun; [ -e /dev/fuse ] && chmod 666 /dev/fuse
ip link set lo up; hostname vm
{ echo "export HOME=$HOM USER=$USR LOGNAME=$USR SHELL=/bin/bash LANG=C.UTF-8 XDG_RUNTIME_DIR=/run/user/$U"
  echo "export PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/go/bin"
  sed 's/^/export /' /vm/ctl/env; printf 'cd %q 2>/dev/null || cd /\n' "$(cat /vm/ctl/cwd)"
  echo "exec $(cat /vm/ctl/cmd)"; } >/run/vm-user.sh; chmod 644 /run/vm-user.sh
for p in /sys/class/virtio-ports/*; do read -r n <"$p/name"; ln -s "/dev/${p##*/}" "/run/vm-$n"; done
cat >/run/vm-finish <<'F'
#!/bin/bash
echo "$1" >/vm/ctl/rc; cut -d' ' -f1 /proc/uptime >/vm/ctl/uptime; sync /vm/ctl/rc
exec poweroff -f -f -n
F
chmod +x /run/vm-finish
if [ "$SYSTEMD" = 1 ]; then
  d=/etc/systemd/system
  rm -rf $d/*.wants; mkdir -p $d/user@.service.d
  rm -f /.dockerenv /run/.containerenv
  for u in systemd-tmpfiles-setup systemd-udevd systemd-udev-trigger systemd-timesyncd systemd-modules-load systemd-random-seed systemd-sysctl \
     systemd-hwdb-update systemd-update-utmp systemd-machine-id-commit systemd-sysusers ldconfig systemd-journal-flush \
     systemd-journal-catalog-update systemd-update-done systemd-remount-fs systemd-tmpfiles-setup-dev kmod-static-nodes \
     systemd-binfmt systemd-boot-system-token systemd-firstboot systemd-pcrphase systemd-pcrphase-sysinit modprobe@ ; do
    ln -s /dev/null "$d/$u.service"; done
  for u in systemd-udevd-control.socket systemd-udevd-kernel.socket dev-hugepages.mount dev-mqueue.mount \
     proc-sys-fs-binfmt_misc.automount sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount \
     sys-fs-fuse-connections.mount systemd-ask-password-console.path systemd-ask-password-wall.path \
     modprobe@configfs.service modprobe@drm.service modprobe@fuse.service modprobe@efi_pstore.service modprobe@dm_mod.service modprobe@loop.service ; do
    ln -s /dev/null "$d/$u" 2>/dev/null; done
  : >/etc/fstab
  printf '[Unit]\nRequires=vmtest.service\nAfter=vmtest.service\n' >$d/vmtest.target
  printf '[Service]\nExecStart=/bin/systemctl poweroff -f -f\n' >$d/vmtest-failed.service
  cat >$d/vmtest.service <<S
[Unit]
OnFailure=vmtest-failed.service
Requires=user@$U.service dbus.socket systemd-logind.service
After=user@$U.service systemd-logind.service
[Service]
Type=oneshot
ExecStart=/run/vm-systemd
S
  cat >/run/vm-systemd <<S
#!/bin/bash
setpriv --reuid=$U --regid=$U --init-groups env XDG_RUNTIME_DIR=/run/user/$U \
  systemd-run --user --quiet --wait --pipe --collect --service-type=exec -p Delegate=yes \
  /bin/bash /run/vm-user.sh >/run/vm-stdout 2>/run/vm-stderr </dev/null
exec /run/vm-finish \$?
S
  chmod +x /run/vm-systemd; cut -d' ' -f1 /proc/uptime >/vm/ctl/handover
  exec /lib/systemd/systemd --unit=vmtest.target --show-status=0 --log-target=kmsg --log-level=${VM_SDLOG:-notice}
fi
mkdir -p /sys/fs/cgroup; mount -t cgroup2 -o nsdelegate cgroup2 /sys/fs/cgroup
g=/sys/fs/cgroup/user.slice/user-$U.slice/user@$U.service   # what systemd's user manager would own
mkdir -p "$g" /run/user/$U; chown "$U:$U" /run/user/$U; chmod 700 /run/user/$U
for c in "" /user.slice /user.slice/user-$U.slice; do echo "+cpu +memory +pids" >"/sys/fs/cgroup$c/cgroup.subtree_control"; done
chown "$U:$U" "$g" "$g"/cgroup.{procs,threads,subtree_control}
setpriv --reuid=$U --regid=$U --clear-groups bash -c "mkdir -p $g/app.slice/run-vmtest.service
  for c in $g $g/app.slice; do echo '+cpu +memory +pids' >\$c/cgroup.subtree_control; done"
cut -d' ' -f1 /proc/uptime >/vm/ctl/handover
( echo $BASHPID >"$g/app.slice/run-vmtest.service/cgroup.procs"
  exec setsid setpriv --reuid=$U --regid=$U --init-groups /bin/bash /run/vm-user.sh </dev/null >/run/vm-stdout 2>/run/vm-stderr )
exec /run/vm-finish $?
GUEST
chmod +x "$CTL/guest"
t0=$(date +%s.%N)
  mkfifo "$CTL/o" "$CTL/e"; cat "$CTL/o" & co=$!; cat "$CTL/e" >&2 & ce=$!
  exec 8>"$CTL/o" 9>"$CTL/e"   # so that the cats end however qemu does
  timeout -k 5 "$VM_TIMEOUT" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp "$VM_CPUS" -m "$VM_MEM" -M q35 \
    -nodefaults -no-user-config -display none -no-reboot -serial "file:$CTL/console" \
    -kernel "$VMLINUX" -initrd "$INITRD" \
    -append "console=ttyS0 quiet loglevel=${VM_KLOG:-4} panic=-1 mitigations=off cgroup_no_v1=all lsm=landlock,lockdown,yama,integrity,apparmor,bpf" \
    -fsdev local,id=root,path=/,security_model=none,readonly=on,multidevs=remap -device virtio-9p-pci,fsdev=root,mount_tag=root \
    -fsdev local,id=ctl,path="$CTL",security_model=none -device virtio-9p-pci,fsdev=ctl,mount_tag=ctl \
    -device virtio-serial-pci \
    -chardev file,id=o,path="$CTL/o",append=on -device virtserialport,chardev=o,name=stdout \
    -chardev file,id=e,path="$CTL/e",append=on -device virtserialport,chardev=e,name=stderr \
    </dev/null >"$CTL/vmm" 2>&1 8>&- 9>&- || :
  exec 8>&- 9>&-; wait "$co" "$ce" || :
t1=$(date +%s.%N)
if [ "$VM_VERBOSE" = 1 ]; then
  cat "$CTL/console" "$CTL/vmm" >&2 2>/dev/null || :
  awk -v a="$t0" -v b="$t1" -v h="$(cat "$CTL/handover" 2>/dev/null)" -v u="$(cat "$CTL/uptime" 2>/dev/null)" \
    'BEGIN{printf "run-in-vm: total %.1f s; kernel uptime at hand-over %s s, at end %s s\n", b-a, h, u}' >&2
fi
[ -s "$CTL/rc" ] || { tail -n 40 "$CTL/console" "$CTL/vmm" >&2 2>/dev/null || :; die "no exit code from the VM (after VM_TIMEOUT=$VM_TIMEOUT s?)"; }
exit "$(cat "$CTL/rc")"
