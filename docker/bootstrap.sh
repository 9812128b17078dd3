#!/bin/sh
# Builds a minimal Debian image without access to a registry, and prints its name.
#
# The packages come from the Debian mirror of this machine's own apt. The first run takes minutes; the result is kept in
# ${MUSTER_CACHE:-/var/cache/muster}, and later runs only import it. Needs root and debootstrap.
set -eu

suite=bookworm
arch=$(dpkg --print-architecture)
image=muster-debian:$suite
cache=${MUSTER_CACHE:-/var/cache/muster}
tarball=$cache/debian-$suite-$arch.tar

# One "deb URI SUITE COMPONENT" for each of Debian's own sources that this machine uses.
sources() {
    apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian' |
        grep -E " $suite(-updates|-security)? " | sort -u
}

make_tarball() {
    root=$(mktemp -d)
    trap 'rm -rf "$root"' EXIT
    mirror=$(sources | awk -v suite="$suite" '$3 == suite { print $2; exit }')
    if [ -z "$mirror" ]; then
        echo "bootstrap.sh: this machine's apt knows no Debian $suite; run apt-get update, or set MUSTER_BASE" >&2
        exit 1
    fi
    debootstrap --variant=minbase "$suite" "$root" "$mirror" >&2
    sources >"$root/etc/apt/sources.list"
    rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
    mkdir -p "$cache"
    tar -C "$root" -cf "$tarball.new" .
    # Never leave a partial tarball under the final name.
    mv "$tarball.new" "$tarball"
}

if ! docker image inspect "$image" >/dev/null 2>&1; then
    [ -e "$tarball" ] || make_tarball
    docker import "$tarball" "$image" >/dev/null
fi
echo "$image"
