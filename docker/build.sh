#!/bin/sh
# Builds the static executable and the images of this directory.
#
#   docker/build.sh [binary|scratch|services|packages|supervisord]...     default: the first three
#
#   MUSTER_LIBC=musl|gnu    the C library that is linked in; default: musl where rustup has the target, else gnu
#   MUSTER_PROFILE=release  the cargo profile
#   MUSTER_BIN_DIR=DIR      takes the static executable "muster" of this directory instead of building one
#   MUSTER_BASE=IMAGE       what the images with services are built on; default: debian:bookworm-slim. "bootstrap" makes a
#                           Debian without a registry, see bootstrap.sh
#   MUSTER_TAG=latest       the images are called muster-scratch:TAG and muster-services:TAG
#
# The part packages is what takes longest of services, and needs no executable: later builds of services find it done.
# The part supervisord is for the tests: the original supervisord and programs to run under it, without musterd.
#
# The executable and its links are placed in docker/build/LIBC/, ready to be copied into any image.
set -eu
cd "$(dirname "$0")/.."

machine=$(uname -m)
libc=${MUSTER_LIBC:-}
if [ -z "$libc" ]; then
    libc=gnu
    # Without rustup there is only the target of the compiler itself.
    if rustup target list --installed 2>/dev/null | grep -qx "$machine-unknown-linux-musl"; then libc=musl; fi
fi
target=$machine-unknown-linux-$libc
profile=${MUSTER_PROFILE:-release}
base=${MUSTER_BASE:-debian:bookworm-slim}
tag=${MUSTER_TAG:-latest}
out=docker/build/$libc

build_binary() {
    if [ -n "${MUSTER_BIN_DIR:-}" ]; then
        place "$MUSTER_BIN_DIR/muster"
        return
    fi
    # With musl it is the file of a release; the list of its dependencies is added where the tool for it is installed.
    if [ "$libc" = musl ]; then
        SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-0} MUSTER_AUDITABLE=optional packaging/binary.sh "$machine"
    else
        # musl links statically by default, glibc only on request. Naming the target keeps the flag away from build scripts and
        # procedural macros, which cannot be static.
        RUSTFLAGS="-C target-feature=+crt-static ${RUSTFLAGS:-}" \
            cargo build --locked --profile "$profile" --target "$target" --bin muster
    fi
    place "${CARGO_TARGET_DIR:-target}/$target/$profile/muster"
}

place() {
    mkdir -p "$out"
    # Rename, so that running processes keep the old file.
    cp "$1" "$out/.muster.new"
    mv "$out/.muster.new" "$out/muster"
    ln -sf muster "$out/musterd"
    ln -sf muster "$out/musterctl"
    ls -l "$out/muster"
}

build_image() {
    docker build --build-arg MUSTER="build/$libc" "$@" docker
}

# A Debian to build on.
debian() {
    if [ "$base" = bootstrap ]; then base=$(docker/bootstrap.sh); fi
}

[ $# -gt 0 ] || set -- binary scratch services
for part; do
    case $part in
    binary) build_binary ;;
    scratch) build_image -t "muster-scratch:$tag" -f docker/scratch/Dockerfile ;;
    services)
        debian
        build_image -t "muster-services:$tag" -f docker/services/Dockerfile --build-arg BASE="$base"
        ;;
    packages)
        debian
        build_image -f docker/services/Dockerfile --target packages --build-arg BASE="$base"
        ;;
    supervisord)
        debian
        docker build -t "muster-supervisord:$tag" -f docker/supervisord/Dockerfile --build-arg BASE="$base" docker
        ;;
    *)
        echo "docker/build.sh: unknown part, expected binary, scratch, services, packages or supervisord: \"$part\"" >&2
        exit 2
        ;;
    esac
done
