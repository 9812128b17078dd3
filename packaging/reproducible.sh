#!/bin/sh
# Builds the current commit twice, in two directories and with two empty build directories, and compares the artefacts byte for
# byte: packaging/reproducible.sh [x86_64] [aarch64]        default: both
#
# muster-debian is not compared: its bytes depend on the base image.
set -eu
cd "$(dirname "$0")/.."
[ -z "$(git status --porcelain --untracked-files=no)" ] || echo "NOT COMPARED: uncommitted changes of this directory" >&2

place=$(mktemp -d "${TMPDIR:-/tmp}/muster-reproducible-XXXXXX")
trap 'rm -rf "$place"' EXIT
# Names of different lengths: a path that gets into a file moves everything behind it.
for name in first the-second-directory; do
    git clone --quiet . "$place/$name"
    (
        cd "$place/$name"
        unset CARGO_TARGET_DIR SOURCE_DATE_EPOCH
        umask "$([ "$name" = first ] && echo 022 || echo 077)"
        MUSTER_BASE=none packaging/release.sh "$@"
    ) >"$place/$name.log" 2>&1 || {
        tail -50 "$place/$name.log" >&2
        exit 1
    }
done
first=$place/first/target/release-artifacts
second=$place/the-second-directory/target/release-artifacts
ls -l "$first"
[ -s "$first/SHA256SUMS" ]
if diff -r "$first" "$second"; then
    echo "two builds of $(git rev-parse --short HEAD) gave the same $(find "$first" -type f | wc -l) files"
else
    exit 1
fi
