#!/bin/sh
# Makes the image "muster", which holds only the executable: packaging/image.sh x86_64|aarch64
#
# The archive for `docker load` and `podman load` is written here and not by an engine: an engine of either architecture is
# not needed, and the same executable gives the same bytes.
set -eu
. "$(dirname "$0")/common.sh"
arch=${1:-$native}
check_arch "$arch"

docker_arch=$(debian_arch "$arch")
created=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
content=$work/$arch/image-root
image=$work/$arch/image
file=$out/muster-image-$version-$docker_arch.tar.gz
rm -rf "$content" "$image"
mkdir -p "$content" "$image" "$out"
cp -a "$work/$arch/tree/bin/." "$content"

digest() { sha256sum "$1" | cut -d' ' -f1; }

plain_tar "$content" . >"$image/layer.tar"
layer=$(digest "$image/layer.tar")
cat >"$image/config.json" <<CONFIG
{"architecture":"$docker_arch","os":"linux","created":"$created","config":{
"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/"],"Cmd":["/musterd"],
"Labels":{"org.opencontainers.image.title":"muster","org.opencontainers.image.version":"$version",
"org.opencontainers.image.licenses":"MIT OR Apache-2.0"}},
"rootfs":{"type":"layers","diff_ids":["sha256:$layer"]},
"history":[{"created":"$created","created_by":"packaging/image.sh"}]}
CONFIG
config=$(digest "$image/config.json")
mkdir "$image/$layer"
mv "$image/layer.tar" "$image/$layer/layer.tar"
mv "$image/config.json" "$image/$config.json"
printf '[{"Config":"%s.json","RepoTags":["muster:%s","muster:latest"],"Layers":["%s/layer.tar"]}]\n' \
    "$config" "$version" "$layer" >"$image/manifest.json"
plain_tar "$image" . | gzip -9n >"$file"
ls -l "$file"
