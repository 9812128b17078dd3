#!/bin/sh
# Writes SHA256SUMS of everything in the directory of artefacts. To verify: sha256sum --check --ignore-missing SHA256SUMS
set -eu
. "$(dirname "$0")/common.sh"
cd "$out"
rm -f SHA256SUMS
sha256sum -- * >"$work/SHA256SUMS"
mv "$work/SHA256SUMS" SHA256SUMS
cat SHA256SUMS
