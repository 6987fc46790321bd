#!/bin/sh
# test-install.sh BUILD: install the package that `make deb` has made in a new system, use it there
# as its users would, and remove it. `make test-install` calls it. Needs root and the network.
#
# SUITE   which Debian; default: this one
# MIRROR  where it comes from; default: where this machine's packages do
set -eu

build=$(realpath "$1")
root=$build/test-install
. /etc/os-release
suite=${SUITE:-$VERSION_CODENAME}
mirror=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' | head -n 1)}

fail() {
    printf 'test-install: %s\n' "$*" >&2
    exit 1
}

[ "$(id -u)" -eq 0 ] || fail 'needs root, for a file system of its own'
# Whatever is mounted here goes when this ends, however it ends.
[ "${ADDONFS_UNSHARED:-}" ] || ADDONFS_UNSHARED=1 exec unshare --mount --propagation private -- "$0" "$@"

lintian --fail-on error --allow-root "$build"/addonfs_*.deb

[ ! -d "$root" ] || rm -rf --one-file-system "$root"
mkdir -p "$root"
debootstrap --variant=minbase "$suite" "$root" "$mirror" >"$build/debootstrap.log" 2>&1 ||
    fail "debootstrap has failed: see $build/debootstrap.log"
# As packages come to this machine, they come to that one.
rm -f "$root/etc/apt/sources.list"
for place in /etc/apt/sources.list /etc/apt/sources.list.d /etc/apt/apt.conf.d /etc/apt/keyrings /etc/resolv.conf; do
    [ ! -e "$place" ] || cp -RL "$place" "$root$(dirname "$place")/"
done
mount -t proc proc "$root/proc"
touch "$root/dev/fuse"
mount --bind /dev/fuse "$root/dev/fuse"
cp "$build"/addonfs_*.deb "$root/tmp/addonfs.deb"
cp tests/fixtures/demo.sh "$root/tmp/"

inside() {
    chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
        DEBIAN_FRONTEND=noninteractive /bin/sh -euc "$1"
}

inside 'apt-get -qq update; apt-get -qq install -y git unzip; dpkg-query -W -f "\${Package}\n" | sort >/tmp/before'
inside 'apt-get -qq install -y --no-install-recommends /tmp/addonfs.deb'
inside 'sh /tmp/demo.sh /tmp/source >/dev/null'
inside 'addonfs --version; addonfs list /tmp/source'
inside 'mkdir -p /tmp/mnt; addonfs mount /tmp/source /tmp/mnt
    test -d /tmp/mnt/package/openpype/3.15.12; unzip -tqq /tmp/mnt/package/openpype/3.15.12/private/client.zip
    addonfs verify /tmp/mnt/package/openpype/3.15.12; addonfs umount /tmp/mnt'
inside 'mount -t addonfs /tmp/source /tmp/mnt -o rev=HEAD; test -d /tmp/mnt/package/openpype/3.15.12; umount /tmp/mnt'
inside 'addonfs export /tmp/source /tmp/out.zip; unzip -tqq /tmp/out.zip'
inside 'dpkg -L addonfs | grep -q /man1/addonfs.1.gz; test -L /usr/sbin/mount.addonfs
    test -f /usr/lib/systemd/system/addonfs@.service; ! dpkg -L addonfs | grep -Ev "^/(\.|usr)(/|$)"'
inside 'apt-get -qq purge -y addonfs; apt-get -qq autoremove --purge -y; rm -rf /tmp/mnt /root/.cache/addonfs
    dpkg-query -W -f "\${Package}\n" | sort | cmp - /tmp/before
    test -z "$(find / -xdev \( -path /proc -o -path /tmp \) -prune -o -iname "*addonfs*" -print)"'
umount "$root/dev/fuse" "$root/proc"
rm -rf --one-file-system "$root"
echo 'test-install: installed, used and removed'
