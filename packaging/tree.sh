#!/bin/sh
# Lays out what is installed below a prefix, from the built executable: packaging/tree.sh x86_64|aarch64
# The tarball is this directory, and the .deb and the images begin with it.
set -eu
. "$(dirname "$0")/common.sh"
arch=${1:-$native}
check_arch "$arch"

executable=$(static_executable "$arch")
tree=$work/$arch/tree
rm -rf "$tree"
mkdir -p "$tree/bin" "$tree/share/doc/muster" "$tree/share/muster"
install -m 755 "$executable" "$tree/bin/muster"
ln -s muster "$tree/bin/musterd"
ln -s muster "$tree/bin/musterctl"

# The executable writes its own pages. Another architecture's runs under qemu.
[ "$arch" = "$native" ] || need_command "qemu-$arch-static" qemu-user-static
run() {
    if [ "$arch" = "$native" ]; then
        "$tree/bin/muster" "$@"
    else
        "qemu-$arch-static" "$tree/bin/muster" "$@"
    fi
}

pages=$work/$arch/pages
rm -rf "$pages"
mkdir -p "$pages"
run musterd man --output "$pages" >/dev/null
run musterctl man --output "$pages" >/dev/null
for page in "$pages"/*; do
    install -D -m 644 "$page" "$tree/share/man/man${page##*.}/${page##*/}"
done

mkdir -p "$tree/share/bash-completion/completions" "$tree/share/zsh/site-functions" "$tree/share/fish/vendor_completions.d"
for name in musterd musterctl; do
    run "$name" completions bash >"$tree/share/bash-completion/completions/$name"
    run "$name" completions zsh >"$tree/share/zsh/site-functions/_$name"
    run "$name" completions fish >"$tree/share/fish/vendor_completions.d/$name.fish"
done

install -m 644 LICENSE LICENSE-APACHE README.md CHANGELOG.md "$tree/share/doc/muster"
install -m 644 config/muster.schema.json "$tree/share/muster"
mkdir "$tree/share/doc/muster/examples"
install -m 644 config/muster.toml config/examples/*.toml "$tree/share/doc/muster/examples"
