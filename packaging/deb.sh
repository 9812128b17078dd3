#!/bin/sh
# Makes muster_VERSION-1_ARCH.deb of the tree: packaging/deb.sh x86_64|aarch64
#
# dpkg-deb itself, not cargo-deb: that cannot ship an empty directory, and would take minutes to compile. The executable is the
# static one, so the package depends on nothing and is the same for every Debian and Ubuntu. No service is set up or started.
set -eu
. "$(dirname "$0")/common.sh"
arch=${1:-$native}
check_arch "$arch"
need_command dpkg-deb dpkg

debian=$(debian_arch "$arch")
package=$work/$arch/deb
file=$out/muster_$version-1_$debian.deb
rm -rf "$package"
mkdir -p "$package/DEBIAN" "$package/usr" "$package/etc/muster/muster.toml.d" "$out"
cp -a "$work/$arch/tree/." "$package/usr"

# The places and forms that Debian's policy wants.
doc=$package/usr/share/doc/muster
find "$package/usr/share/man" -type f -exec gzip -9n {} +
ln -s ../man8/musterd.8.gz "$package/usr/share/man/man1/muster.1.gz"
mkdir "$package/usr/share/zsh/vendor-completions"
mv "$package"/usr/share/zsh/site-functions/* "$package/usr/share/zsh/vendor-completions"
rmdir "$package/usr/share/zsh/site-functions"
rm "$doc/LICENSE" "$doc/LICENSE-APACHE"
mv "$doc/CHANGELOG.md" "$doc/changelog"
gzip -9n "$doc/changelog"
cp packaging/debian/copyright "$doc/copyright"
sed "s/@VERSION@/$version/; s/@DATE@/$(date -R -d "@$SOURCE_DATE_EPOCH")/" packaging/debian/changelog |
    gzip -9n >"$doc/changelog.Debian.gz"
install -D -m 644 packaging/debian/lintian-overrides "$package/usr/share/lintian/overrides/muster"
find "$package" -type d -exec chmod 755 {} +
chmod 644 "$doc"/c*

(cd "$package" && find usr -type f -print0 | sort -z | xargs -0 md5sum) >"$package/DEBIAN/md5sums"
size=$(find "$package/usr" -type f -printf '%s\n' | awk '{ kib += int(($1 + 1023) / 1024) } END { print kib }')
sed "s/@VERSION@/$version/; s/@ARCH@/$debian/; s/@SIZE@/$size/" packaging/debian/control >"$package/DEBIAN/control"
find "$package" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group -Zxz --build "$package" "$file"
