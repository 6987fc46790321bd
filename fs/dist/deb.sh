#!/bin/sh
# deb.sh: make a package for Debian of what `make install` installs. `make deb` calls it.
#
# VERSION      of the program
# BUILD        where the package is made: BUILD/addonfs_VERSION-1_ARCH.deb
# MAINTAINER   "Name <address>"; default: whoever commits here
#
# Everything goes below /usr, where Debian 12 and 13 have it (`/lib` and `/sbin` lead there): systemd finds the
# unit in /usr/lib/systemd/system, mount(8) its helper in /sbin. A package of Debian 13 may hold nothing beside it.
set -eu

top=$(pwd)
architecture=$(dpkg --print-architecture)
version=$VERSION-1
root=$BUILD/deb/root
maintainer=${MAINTAINER:-$(git log -1 --format='%an <%ae>')}
# The package says of itself when it was made: as the last commit, not as the clock.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH

rm -rf "$BUILD/deb"
mkdir -p "$root/DEBIAN" "$BUILD/deb/debian"
umask 022
"${MAKE:-make}" --no-print-directory install DESTDIR="$(realpath "$root")" PREFIX=/usr
strip --strip-unneeded --remove-section=.comment --remove-section=.note "$root/usr/bin/addonfs"
gzip -9n "$root"/usr/share/man/man*/*.[18]
# zsh of Debian looks here for what packages bring.
mkdir -p "$root/usr/share/zsh/vendor-completions"
mv "$root/usr/share/zsh/site-functions/_addonfs" "$root/usr/share/zsh/vendor-completions/"
rmdir "$root/usr/share/zsh/site-functions"

doc=$root/usr/share/doc/addonfs
install -d "$doc"
cat >"$doc/copyright" <<END
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: addonfs

Files: *
$(sed -n 's/^Copyright (c) /Copyright: /p' "$top/LICENSE")
License: Expat
$(sed '1,/^Copyright/d' "$top/LICENSE" | sed '1{/^$/d}; s/^$/./; s/^/ /')
END
cat <<END | gzip -9n >"$doc/changelog.Debian.gz"
addonfs ($version) stable; urgency=medium

  * Version $VERSION.

 -- $maintainer  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
END

# Which libraries, and since which version, is what the program's symbols say.
printf 'Source: addonfs\n\nPackage: addonfs\nArchitecture: any\n' >"$BUILD/deb/debian/control"
depends=$(cd "$BUILD/deb" && dpkg-shlibdeps -O root/usr/bin/addonfs | sed -n 's/^shlibs:Depends=//p')
cat >"$root/DEBIAN/control" <<END
Package: addonfs
Version: $version
Architecture: $architecture
Maintainer: $maintainer
Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f1)
Depends: $depends
Recommends: fuse3
Section: vcs
Priority: optional
Description: live view of a Git repository as packages of AYON addons
 AYON, a production server for animation and VFX studios, takes its addons as
 packages. addonfs is a file system that shows the package of an addon computed
 from its Git source tree: never stale, never silently incomplete, with the same
 bytes on every host, for the worktree and for every commit.
END
# mount(8) tells its helpers of no home: what root's mounts have compressed lies here.
cat >"$root/DEBIAN/postrm" <<'END'
#!/bin/sh
set -e
[ "$1" != purge ] || rm -rf /var/cache/addonfs
END
chmod 755 "$root/DEBIAN/postrm"
(cd "$root" && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
dpkg-deb --root-owner-group --build "$root" "$BUILD/addonfs_${version}_$architecture.deb"
