#!/bin/sh
# Links an executable as $MUSTER_COMPILER does, with the functions that packaging/functions.txt names first, in its order.
#
# A function's name has a hash in it that depends on the version, the profile and the compiler. A name that is not there with this hash
# stands for the functions that are named the same otherwise, unless they are very many: instances of generic functions.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
for file in "$@"; do
    case $file in
    # Archives of intermediate code have no names that nm knows.
    *.o | *.rlib) "${MUSTER_COMPILER%gcc}nm" --defined-only --format=posix "$file" 2>/dev/null || true ;;
    esac
done | awk '$2 ~ /^[TtWw]$/ && $1 !~ /^\$/ { print $1 }' | sort -u > "$place/there"
[ -s "$place/there" ] || {
    echo "$0: no function was found: nm of $MUSTER_COMPILER does not read the objects" >&2
    exit 1
}
awk '
    function without_hash(name) {
        sub(/\.[0-9]+$/, "", name)
        sub(/17h[0-9a-f]+E$/, "E", name)
        gsub(/Cs[0-9A-Za-z]+_/, "C", name)
        return name
    }
    NR == FNR {
        is_there[$1] = 1
        key = without_hash($1)
        count[key]++
        if (count[key] <= 20) twins[key] = twins[key] "\n" $1
        next
    }
    /^#/ { next }
    $1 in is_there { print $1; next }
    { key = without_hash($1) }
    count[key] > 0 && count[key] <= 20 && !done[key]++ { print substr(twins[key], 2) }
    # Of the C library, which is not among the objects.
    key == $1 && count[key] == 0 { print $1 }
' "$place/there" "$(dirname "$0")/functions.txt" > "$place/order"
# A name that is in none of the objects is left out without a warning.
"$MUSTER_COMPILER" "$@" -Wl,--no-warn-symbol-ordering -Wl,--symbol-ordering-file="$place/order"
