#!/bin/sh
# Writes the list of everything that is linked in (CycloneDX, JSON): packaging/sbom.sh
set -eu
. "$(dirname "$0")/common.sh"
need_tool cargo-cyclonedx 0.5.9
need_command jq jq
file=$out/muster-$version.cdx.json
mkdir -p "$out"

# The tool writes beside the manifests of all crates. The paths of this machine and a random serial number are left out.
remove() { rm -f "$root"/*.cdx.json "$root"/crates/*/*.cdx.json; }
trap remove EXIT
cargo cyclonedx --format json --describe crate --target x86_64-unknown-linux-musl --quiet
jq --sort-keys "del(.serialNumber) | walk(if type == \"string\" then gsub(\"path\\\\+file://$root\"; \"path+file:///muster\") else . end)" \
    muster.cdx.json >"$file"
if grep -F "$root" "$file"; then
    echo "$0: a path of this machine is left in $file" >&2
    exit 1
fi
ls -l "$file"
