#!/bin/sh
# Uploads target/release-artifacts as the release of the current tag, with the changelog's section as its notes. Needs the
# GitHub command line `gh`, logged in.
set -eu
. "$(dirname "$0")/common.sh"
tag=v$version
if [ "$(git describe --tags --exact-match)" != "$tag" ]; then
    echo "$0: the current commit is not tagged $tag, which is the version in Cargo.toml" >&2
    exit 1
fi
notes=$(packaging/notes.sh)
(cd "$out" && sha256sum --check --quiet SHA256SUMS)
gh release create "$tag" --verify-tag --title "musterd $version" --notes "$notes" "$out"/*
