#!/bin/sh
# Builds the static executable for one architecture: packaging/binary.sh x86_64|aarch64
#
# musl, with the C compiler of Debian's gcc-x86-64-linux-gnu or gcc-aarch64-linux-gnu (the machine's own is part of gcc), which
# calls the linker of Rust's toolchain. The paths of this machine do not get into the file, and the list of its dependencies does: `cargo audit bin`.
set -eu
. "$(dirname "$0")/common.sh"
arch=${1:-$native}
check_arch "$arch"

target=$arch-unknown-linux-musl
compiler=$arch-linux-gnu-gcc
need_command "${compiler%gcc}nm" "binutils-$(echo "$arch" | tr _ -)-linux-gnu"
need_command "$compiler" "gcc-$(echo "$arch" | tr _ -)-linux-gnu"
auditable=auditable
if [ "${MUSTER_AUDITABLE:-}" = optional ]; then
    command -v cargo-auditable >/dev/null || auditable=
else
    need_tool cargo-auditable 0.7.7
fi
rustup target list --installed | grep -qx "$target" || rustup target add "$target"

cargo_home=${CARGO_HOME:-$HOME/.cargo}
upper=$(echo "$target" | tr a-z- A-Z_)
lower=$(echo "$target" | tr - _)
separator=$(printf '\037')
# The last mapping that fits wins, and the build directory may be inside of the tree.
CARGO_ENCODED_RUSTFLAGS="--remap-path-prefix=$root=/muster$separator--remap-path-prefix=$cargo_home=/cargo$separator--remap-path-prefix=$build_dir=/target"
# For a small file: frame pointers, since what unwinding needs without them is larger; equal functions only once; packed
# relative relocations.
host=$(rustc -vV | sed -n 's/^host: //p')
for flag in force-frame-pointers=yes link-arg=-fuse-ld=lld "link-arg=-B$(rustc --print sysroot)/lib/rustlib/$host/bin/gcc-ld" \
    link-arg=-Wl,--icf=all link-arg=-Wl,-z,pack-relative-relocs; do
    CARGO_ENCODED_RUSTFLAGS=$CARGO_ENCODED_RUSTFLAGS$separator-C$flag
done
if [ -n "${MUSTER_SYMBOLS:-}" ]; then
    CARGO_ENCODED_RUSTFLAGS=$CARGO_ENCODED_RUSTFLAGS$separator-Cstrip=none
fi
export CARGO_ENCODED_RUSTFLAGS
export CARGO_INCREMENTAL=0
# Which calls the compiler. By the end of its name rustc knows what arguments it takes.
export MUSTER_COMPILER="$compiler" "CARGO_TARGET_${upper}_LINKER=$root/packaging/link-gcc.sh"
export "CC_$lower=$compiler" "AR_$lower=$arch-linux-gnu-ar"
# The C in TLS's cryptography uses no library, so the headers of glibc do, without its fortified functions.
export "CFLAGS_$lower=-U_FORTIFY_SOURCE -ffile-prefix-map=$root=/muster -ffile-prefix-map=$cargo_home=/cargo -ffile-prefix-map=$build_dir=/target"

# Cargo does not know what the linker reads.
executable=$(static_executable "$arch")
if [ -e "$executable" ] && [ -n "$(find packaging/functions.txt packaging/link-gcc.sh -newer "$executable")" ]; then
    cargo clean --quiet --package muster --profile "$profile" --target "$target" --target-dir "$build_dir"
fi
# shellcheck disable=SC2086
cargo $auditable build --locked --profile "$profile" --target "$target" --target-dir "$build_dir" --bin muster
ls -l "$(static_executable "$arch")"
