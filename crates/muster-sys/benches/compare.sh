#!/bin/sh
# Spawn, execute and reap a tiny static program: musterd's spawner next to a bare loop in C, in each of the three ways, with
# little memory and with much. Prints the best of five rounds in microseconds per process; rounds are interleaved, so that
# a busy machine treats all alike.
#
# Usage: benches/compare.sh [COUNT]      (from anywhere; needs cc)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
count=${1:-2000}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cc -O2 -static -nostdlib -o "$scratch/instant" "$here/baseline/instant.c"
cc -O2 -o "$scratch/c" "$here/baseline/spawn.c"
cargo bench --quiet --profile dist-dev --manifest-path "$here/../Cargo.toml" --bench spawn --no-run
ours=$(cargo bench --profile dist-dev --manifest-path "$here/../Cargo.toml" --bench spawn --no-run 2>&1 |
    sed -n 's/.*Executable.*(\(.*\))$/\1/p')
case $ours in /*) ;; *) ours=$(cd "$here/../../.." && pwd)/$ours ;; esac

for ballast in 0 64; do
    for round in 1 2 3 4 5; do
        for pair in fork:copied clone:shared vfork:waiting; do
            echo "$ballast ${pair%:*} c $("$scratch/c" "${pair%:*}" "$count" $ballast "$scratch/instant")"
            echo "$ballast ${pair%:*} musterd $("$ours" "${pair#*:}" "$count" $ballast "$scratch/instant")"
        done
    done
done | awk '
    { key = $1 " " $2 " " $3; if (!(key in best) || $4 < best[key]) { best[key] = $4; call[key] = $5 } }
    END {
        printf "%-10s %-7s %10s %10s %18s\n", "ballast", "way", "C", "musterd", "of which the call"
        for (b = 0; b <= 64; b += 64) for (w = 1; w <= 3; w++) {
            way = w == 1 ? "fork" : w == 2 ? "clone" : "vfork"
            printf "%-10s %-7s %10.1f %10.1f %18.1f\n", b " MB", way, best[b " " way " c"],
                best[b " " way " musterd"], call[b " " way " musterd"]
        }
    }'
