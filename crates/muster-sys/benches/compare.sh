#!/bin/sh
# Spawn, execute and reap a tiny static program: musterd's spawner next to a loop in C, bare and with the same unavoidable
# work, in each of the three ways, with little memory and with much. Prints the best of five interleaved rounds in
# microseconds per process. Processor time is what to trust on a busy machine.
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
            way=${pair%:*}
            echo "$ballast $way bare $("$scratch/c" "$way" bare "$count" $ballast "$scratch/instant")"
            echo "$ballast $way work $("$scratch/c" "$way" work "$count" $ballast "$scratch/instant")"
            echo "$ballast $way ours $("$ours" "${pair#*:}" "$count" $ballast "$scratch/instant")"
        done
    done
done | awk '
    function least(table, key, value) { if (!(key in table) || value < table[key]) table[key] = value }
    { key = $1 " " $2 " " $3; least(clock, key, $4); least(cpu, key, $5); if ($6) least(call, key, $6) }
    END {
        print "ballast  way     clock: C bare  C work  musterd | processor: C bare  C work  musterd | the call"
        for (b = 0; b <= 64; b += 64) for (w = 1; w <= 3; w++) {
            way = w == 1 ? "fork" : w == 2 ? "clone" : "vfork"
            key = b " " way " "
            printf "%2d MB    %-7s %13.0f %7.0f %8.0f | %17.0f %7.0f %8.0f | %8.0f\n", b, way,
                clock[key "bare"], clock[key "work"], clock[key "ours"],
                cpu[key "bare"], cpu[key "work"], cpu[key "ours"], call[key "ours"]
        }
    }'
