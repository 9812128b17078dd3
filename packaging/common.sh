# Sourced by every script of this directory: names, places, and everything that must not differ between two builds.
# shellcheck shell=sh disable=SC2034
root=$(cd "$(dirname "$0")/.." && pwd -P)
cd "$root" || exit

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -1)
profile=${MUSTER_PROFILE:-release}
build_dir=${CARGO_TARGET_DIR:-$root/target}
work=$build_dir/packaging
out=$build_dir/release-artifacts
native=$(uname -m)

# The time of the commit is the time of every file in every archive.
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
    SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) || {
        echo "$0: not a git repository: set SOURCE_DATE_EPOCH to the time of the release, in seconds" >&2
        exit 1
    }
fi
export SOURCE_DATE_EPOCH
export LC_ALL=C TZ=UTC
umask 022

# The tools from cargo, at the versions that were tested. A tool of another version stays as it is.
need_tool() {
    command -v "$1" >/dev/null || cargo install --locked "$1@$2"
}

need_command() {
    command -v "$1" >/dev/null || {
        echo "$0: needs $1: apt-get install $2" >&2
        exit 1
    }
}

check_arch() {
    case $1 in
    x86_64 | aarch64) ;;
    *)
        echo "$0: unknown architecture, expected x86_64 or aarch64: \"$1\"" >&2
        exit 2
        ;;
    esac
}

# The names that Debian and Docker use.
debian_arch() {
    case $1 in
    x86_64) echo amd64 ;;
    aarch64) echo arm64 ;;
    esac
}

# Prints a directory as a tar archive: the same files give the same bytes.
plain_tar() {
    tar --directory "$1" --create --format=gnu --sort=name --mtime="@$SOURCE_DATE_EPOCH" \
        --owner=0 --group=0 --numeric-owner --mode=go+u,go-w "$2"
}

static_executable() {
    echo "$build_dir/$1-unknown-linux-musl/$profile/muster"
}
