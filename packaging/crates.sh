#!/bin/sh
# Packages all crates as `cargo publish --workspace` uploads them, and with --verify builds each from its package alone.
set -eu
. "$(dirname "$0")/common.sh"
case ${1:-} in
--verify) cargo package --workspace --locked --allow-dirty ;;
"") cargo package --workspace --locked --allow-dirty --no-verify ;;
*)
    echo "usage: $0 [--verify]" >&2
    exit 2
    ;;
esac
