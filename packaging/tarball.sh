#!/bin/sh
# Makes muster-VERSION-ARCH-linux.tar.gz of the tree: packaging/tarball.sh x86_64|aarch64
# To install: tar -xzf FILE --strip-components=1 -C /usr/local
set -eu
. "$(dirname "$0")/common.sh"
arch=${1:-$native}
check_arch "$arch"

name=muster-$version-$arch-linux
mkdir -p "$out"
rm -rf "${work:?}/$arch/$name"
cp -a "$work/$arch/tree" "$work/$arch/$name"
plain_tar "$work/$arch" "$name" | gzip -9n >"$out/$name.tar.gz"
ls -l "$out/$name.tar.gz"
