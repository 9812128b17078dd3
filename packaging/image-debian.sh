#!/bin/sh
# Makes the image "muster-debian", Debian with musterd as its command, for this machine's architecture.
#
#   MUSTER_BASE=IMAGE    default: debian:bookworm-slim; "none" makes no image; "bootstrap" makes a Debian without a registry, see docker/bootstrap.sh
#
# Without a Docker engine it is not made, and a line says so. Its bytes depend on the base.
set -eu
. "$(dirname "$0")/common.sh"
if ! docker info >/dev/null 2>&1; then
    echo "NOT BUILT: muster-debian needs a Docker engine" >&2
    exit 0
fi
base=${MUSTER_BASE:-debian:bookworm-slim}
if [ "$base" = bootstrap ]; then base=$(docker/bootstrap.sh); fi
if ! docker image inspect "$base" >/dev/null 2>&1 && ! docker pull --quiet "$base" >/dev/null; then
    echo "$0: $base is not here and cannot be pulled: MUSTER_BASE=bootstrap makes a Debian from the mirror of apt, none leaves muster-debian out" >&2
    exit 1
fi
file=$out/muster-debian-image-$version-$(debian_arch "$native").tar.gz

context=$work/$native/debian-context
rm -rf "$context"
mkdir -p "$context" "$out"
cp -a "$work/$native/tree" "$context/tree"
cp packaging/debian/Dockerfile "$context/Dockerfile"
docker build --build-arg BASE="$base" -t "muster-debian:$version" -t muster-debian:latest "$context"
docker save "muster-debian:$version" muster-debian:latest | gzip -9n >"$file"
ls -l "$file"
