#!/bin/sh
# Builds a minimal Debian image without access to a registry, and prints its name.
#
#   docker/bootstrap.sh [--tarball] [SUITE]     default: bookworm. With --tarball no image is made, and the name of the file is
#                                               printed
#
# The packages come from the Debian mirror of this machine's own apt. The first run takes minutes; the result is kept in
# ${MUSTER_CACHE:-/var/cache/muster}, and later runs only import it. Needs root and debootstrap.
set -eu

only_tarball=false
if [ "${1:-}" = --tarball ]; then
    only_tarball=true
    shift
fi
suite=${1:-bookworm}
arch=$(dpkg --print-architecture)
image=debian-bootstrap:$suite
cache=${MUSTER_CACHE:-/var/cache/muster}
tarball=$cache/debian-$suite-$arch.tar

# One "deb URI SUITE COMPONENT" for each of Debian's own sources of a suite that this machine uses.
sources() {
    # apt replaces the words in parentheses.
    # shellcheck disable=SC2016
    apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian' |
        grep -E " $1(-updates|-security)? " | sort -u
}

mirror_of() {
    sources "$1" | awk -v suite="$1" '$3 == suite { print $2; exit }'
}

make_tarball() {
    root=$(mktemp -d)
    trap 'rm -rf "$root"' EXIT
    mirror=$(mirror_of "$suite")
    # The mirror of this machine's own suite has the others, too.
    if [ -z "$mirror" ]; then mirror=$(mirror_of "$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)"); fi
    if [ -z "$mirror" ]; then
        echo "bootstrap.sh: this machine's apt knows no Debian $suite; run apt-get update, or set MUSTER_BASE" >&2
        exit 1
    fi
    debootstrap --variant=minbase "$suite" "$root" "$mirror" >&2
    if [ -n "$(sources "$suite")" ]; then sources "$suite" >"$root/etc/apt/sources.list"; fi
    rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
    tar -C "$root" -cf "$tarball.new" .
    # Never leave a partial tarball under the final name.
    mv "$tarball.new" "$tarball"
}

# Of two at once, the second one waits for the tarball of the first.
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if $only_tarball; then
    [ -e "$tarball" ] || make_tarball
    echo "$tarball"
    exit
fi
if ! docker image inspect "$image" >/dev/null 2>&1; then
    [ -e "$tarball" ] || make_tarball
    docker import "$tarball" "$image" >/dev/null
fi
echo "$image"
