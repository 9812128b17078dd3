#!/bin/sh
# Links an executable as $MUSTER_COMPILER does, with the functions that packaging/functions.txt names first, in its order.
#
# A function's name ends with a hash that depends on the profile and on every version. A name that is not there with this hash stands
# for the functions that are named the same otherwise, unless they are many: instances of generic functions.
set -eu
order=$(mktemp)
trap 'rm -f "$order" "$order.names"' EXIT
for file in "$@"; do
    case $file in
        *.o | *.rlib) nm --defined-only --format=posix "$file" 2>/dev/null || true ;;
    esac
done | awk '$2 ~ /^[TtWw]$/ { print $1 }' > "$order.names"
awk '
    function without_hash(name) { sub(/17h[0-9a-f]+E$/, "", name); return name }
    NR == FNR {
        is_there[$1] = 1
        key = without_hash($1)
        twins[key] = twins[key] "\n" $1
        count[key]++
        next
    }
    /^#/ { next }
    is_there[$1] { print $1; next }
    { key = without_hash($1) }
    key in count && count[key] <= 3 && !done[key]++ { print substr(twins[key], 2) }
    # Of the C library, which is not among the objects.
    key == $1 && !(key in count) { print $1 }
' "$order.names" "$(dirname "$0")/functions.txt" > "$order"
# A name that is in none of the objects is left out without a warning.
"$MUSTER_COMPILER" "$@" -Wl,--no-warn-symbol-ordering -Wl,--symbol-ordering-file="$order"
