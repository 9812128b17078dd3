#!/bin/sh
# Makes all artefacts of a release: packaging/release.sh [x86_64] [aarch64]        default: both
#
# They are placed in target/release-artifacts. MUSTER_PROFILE=quick does not optimise, for trying the scripts; MUSTER_SBOM=none and
# MUSTER_BASE=none leave out the list of parts and the image muster-debian.
# Needs the packages gcc, gcc-aarch64-linux-gnu, qemu-user-static, dpkg, jq, and rustup; see docs/contributing.md.
set -eu
. "$(dirname "$0")/common.sh"
[ $# -gt 0 ] || set -- x86_64 aarch64
began=$(date +%s)

rm -rf "$out"
for arch; do
    packaging/binary.sh "$arch"
    packaging/tree.sh "$arch"
    packaging/tarball.sh "$arch"
    packaging/deb.sh "$arch"
    packaging/image.sh "$arch"
    if [ "$arch" = "$native" ] && [ "${MUSTER_BASE:-}" != none ]; then packaging/image-debian.sh; fi
done
[ "${MUSTER_SBOM:-}" = none ] || packaging/sbom.sh
packaging/checksums.sh
ls -l "$out"
echo "all artefacts of muster $version were made in $(($(date +%s) - began)) s"
