#!/bin/sh
# Tests everything in target/release-artifacts as its users get it: in clean Debian 12 and 13, beside busybox, from scratch, and
# under qemu for aarch64. Needs root and a Docker engine.
set -eu
cd "$(dirname "$0")/.."
MUSTER_DOCKER=1 MUSTER_ARTEFACTS=all exec cargo test --locked --test artefacts -- "$@"
