#!/bin/sh
# Prints the changelog's section of the current version. It must be there and have a date.
set -eu
. "$(dirname "$0")/common.sh"
awk -v heading="## $version - " '
    index($0, heading) == 1 { inside = 1; next }
    /^## / { inside = 0 }
    inside { print; count++ }
    END { if (count < 3) exit 1 }' CHANGELOG.md || {
    echo "$0: CHANGELOG.md has no section \"## $version - DATE\"" >&2
    exit 1
}
