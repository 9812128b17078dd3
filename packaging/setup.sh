#!/bin/sh
# Installs what the scripts of this directory and the tests of the artefacts need, on Debian or Ubuntu with rustup.
set -eu
cd "$(dirname "$0")/.."
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

missing=
for package in gcc gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static dpkg jq git curl debootstrap lintian busybox-static \
    shellcheck; do
    dpkg -s "$package" >/dev/null 2>&1 || missing="$missing $package"
done
command -v docker >/dev/null || missing="$missing docker.io"
if [ -n "$missing" ]; then
    as_root apt-get update -q
    # Each word is a package.
    # shellcheck disable=SC2086
    as_root apt-get install -qy --no-install-recommends $missing
fi
rustup target add x86_64-unknown-linux-musl aarch64-unknown-linux-musl
command -v cargo-auditable >/dev/null || cargo install --locked cargo-auditable@0.7.7
command -v cargo-cyclonedx >/dev/null || cargo install --locked cargo-cyclonedx@0.5.9
