#!/bin/sh
# deps.sh [build|test|lint|bench|coverage|soak|deb|install]: install what addonfs needs and this machine lacks.
#
# build: to build and run it; test: also what the tests use; lint: also what `make lint` uses;
# bench, coverage and soak: what tests use, and what `make bench` draws, `make coverage` counts and
# `make soak-memory` checks with;
# deb: to make a package for Debian; install: and to try it in a new system.
# What is missing is found by looking for the thing itself, not by asking a package database. When
# nothing is missing this needs neither network nor root, changes nothing and says nothing.
set -u

# One need a line: scope, how it is looked for, what; its package in Debian, Fedora and Arch.
needs='
build command   cc            gcc                 gcc                   gcc
build header    stdio.h       libc6-dev           glibc-devel           glibc
build command   make          make                make                  make
build command   pkg-config    pkg-config          pkgconf-pkg-config    pkgconf
build command   git           git                 git                   git
build command   fusermount3   fuse3               fuse3                 fuse3
build library   fuse3         libfuse3-dev        fuse3-devel           fuse3
build library   libgit2       libgit2-dev         libgit2-devel         libgit2
build library   libarchive    libarchive-dev      libarchive-devel      libarchive
build library   libcjson      libcjson-dev        cjson-devel           cjson
build library   libdeflate    libdeflate-dev      libdeflate-devel      libdeflate
build library   zlib          zlib1g-dev          zlib-devel            zlib
build library   libcrypto     libssl-dev          openssl-devel         openssl
build library   sqlite3       libsqlite3-dev      sqlite-devel          sqlite
test  library   cmocka        libcmocka-dev       libcmocka-devel       cmocka
test  command   python3       python3             python3               python
test  python    pytest        python3-pytest      python3-pytest        python-pytest
test  python    hypothesis    python3-hypothesis  python3-hypothesis    python-hypothesis
test  python    xdist         python3-pytest-xdist python3-pytest-xdist python-pytest-xdist
test  command   zsh           zsh                 zsh                   zsh
test  command   fish          fish                fish                  fish
test  command   7z            p7zip-full          p7zip-plugins         p7zip
test  command   unzip         unzip               unzip                 unzip
test  command   zip           zip                 zip                   zip
test  command   bsdtar        libarchive-tools    bsdtar                libarchive
test  command   rsync         rsync               rsync                 rsync
test  command   curl          curl                curl                  curl
test  command   man           man-db              man-db                man-db
test  command   ps            procps              procps-ng             procps-ng
test  command   findmnt       util-linux          util-linux            util-linux
test  command   unshare       util-linux          util-linux            util-linux
lint  command   clang-format  clang-format        clang-tools-extra     clang
lint  command   clang-tidy    clang-tidy          clang-tools-extra     clang
lint  command   cppcheck      cppcheck            cppcheck              cppcheck
lint  command   clang         clang               clang                 clang
deb   command   dpkg-shlibdeps dpkg-dev           dpkg-dev              dpkg
install command lintian       lintian             lintian               lintian
install command debootstrap   debootstrap         debootstrap           debootstrap
bench command   gnuplot       gnuplot-nox         gnuplot               gnuplot
coverage command gcovr        gcovr               gcovr                 gcovr
soak  command   valgrind      valgrind            valgrind              valgrind
soak  header    valgrind/valgrind.h valgrind      valgrind-devel        valgrind
'

fail() {
    printf 'deps: %s\n' "$*" >&2
    exit 1
}

# The Python that `make test` uses. Another one, without packages, may come first in PATH.
python() {
    if [ -n "${PYTHON:-}" ]; then
        "$PYTHON" "$@"
    elif [ -x /usr/bin/python3 ]; then
        /usr/bin/python3 "$@"
    else
        python3 "$@"
    fi
}

# there KIND NAME: is it here?
there() {
    case $1 in
    command) command -v "$2" ;;
    header) printf '#include <%s>\n' "$2" | cc -E - ;;
    library) pkg-config --exists "$2" ;;
    python) python -c "import $2" ;;
    esac >/dev/null 2>&1
}

# missing COLUMN: that column of each need that is not here, on one line, each once.
missing() {
    printf '%s\n' "$needs" | while read -r in_scope kind name debian fedora arch; do
        case " $scopes " in
        *" ${in_scope:-none} "*) ;;
        *) continue ;;
        esac
        there "$kind" "$name" </dev/null && continue
        case $1 in
        name) echo "$name" ;;
        debian) echo "$debian" ;;
        fedora) echo "$fedora" ;;
        arch) echo "$arch" ;;
        esac
    done | sort -u | paste -s -d ' ' -
}

# as_root COMMAND…: run it, with sudo unless we are root.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

case ${1:-build} in
build) scopes='build' ;;
test) scopes='build test' ;;
lint) scopes='build test lint' ;;
bench) scopes='build test bench' ;;
coverage) scopes='build test coverage' ;;
soak) scopes='build test soak' ;;
deb) scopes='build deb' ;;
install) scopes='build deb install' ;;
*) fail "unknown scope '$1': it is build, test, lint, bench, coverage, soak, deb or install" ;;
esac

names=$(missing name)
[ -n "$names" ] || exit 0

if command -v apt-get >/dev/null; then
    packages=$(missing debian)
    by_hand="apt-get install $packages"
elif command -v dnf >/dev/null; then
    packages=$(missing fedora)
    by_hand="dnf install $packages"
elif command -v pacman >/dev/null; then
    packages=$(missing arch)
    by_hand="pacman -S $packages"
else
    fail "missing: $names; this system has none of apt-get, dnf and pacman, so install them by hand"
fi
[ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null ||
    fail "missing: $names; neither root nor sudo here, so let root run: $by_hand"

printf 'deps: installing %s\n' "$packages"
# shellcheck disable=SC2086 # a list of names, none of them with blanks
case $by_hand in
apt-get*)
    as_root apt-get -qq -o DPkg::Lock::Timeout=120 update &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120 \
            -o Dpkg::Use-Pty=0 install -y --no-install-recommends $packages
    ;;
dnf*) as_root dnf -q -y --setopt=install_weak_deps=False install $packages ;;
pacman*) as_root pacman -S --needed --noconfirm $packages ;;
esac </dev/null || fail "the installation failed; by hand it is: $by_hand"

names=$(missing name)
[ -z "$names" ] || fail "still missing after the installation: $names"
