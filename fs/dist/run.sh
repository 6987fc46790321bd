#!/bin/sh
# run.sh: mount a repository and show what is in the mount. `make run` calls it from the top folder.
#
# ADDONFS      the program
# DEMO         folder for the demo: DEMO/repo is mounted without REPO, at DEMO/mnt without MNT
# REPO, MNT    what to mount, and where
# RUN_OPTIONS  options for `addonfs mount`, such as '-o rev=main'
set -eu

addonfs=${ADDONFS:-build/addonfs}
demo=${DEMO:-build/demo}
repo=${REPO:-$demo/repo}
mnt=${MNT:-$demo/mnt}

# mounted COLUMN: about what is mounted at $mnt itself, or nothing. A dead mount is still one.
mounted() {
    findmnt --noheadings --first-only --output "$1" --mountpoint "$mnt" || true
}

case $(mounted FSTYPE) in
'') ;;
fuse.addonfs)
    # The demo's mount, or the same one with other options: begin anew.
    if [ -n "${MNT:-}" ] && [ "$(mounted SOURCE)" != "$(realpath -- "$repo")" ]; then
        printf 'run: %s is mounted at %s: choose another MNT\n' "$(mounted SOURCE)" "$mnt" >&2
        exit 1
    fi
    "$addonfs" umount "$mnt"
    ;;
*)
    printf 'run: %s is a mount of something else: choose another MNT\n' "$mnt" >&2
    exit 1
    ;;
esac
mkdir -p -- "$mnt"
if [ -z "${REPO:-}" ]; then
    rm -rf -- "$repo"
    tests/fixtures/demo.sh "$repo"
fi
printf '$ %s\n' "$addonfs mount${RUN_OPTIONS:+ $RUN_OPTIONS} $repo $mnt"
# shellcheck disable=SC2086 # RUN_OPTIONS is a list of words
"$addonfs" mount ${RUN_OPTIONS:-} "$repo" "$mnt"

# The live view and the names of the frozen ones; below those it is the same again.
printf '\n%10s  %s\n' bytes "path in $mnt"
find "$mnt" -mindepth 1 \( -path "$mnt/commits/*/*" -o -path "$mnt/snapshots/*/*" \) -prune -o \
    \( -type d -printf '%10s  %P/\n' -o -type l -printf '%10s  %P -> %l\n' -o \
    -printf '%10s  %P\n' \) | LC_ALL=C sort -k 2 | awk '
        NR <= 60
        END { if (NR > 60) print "            ... and " NR - 60 " more" }'

status=$mnt/.addonfs/status.json
if [ -e "$status" ]; then
    printf '\n%s begins:\n' "$status"
    head -n 15 -- "$status" | cut -c 1-100
fi
printf '\nUnmount it with: %s umount %s\n' "$addonfs" "$mnt"
