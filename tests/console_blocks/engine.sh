#!/bin/sh
# Plays docker, podman, kubectl and ssh for the commands of the pages: there is one container, its processes run here, and
# $ENGINE is the directory of its state. The tests with a real engine are tests/docker and tests/artefacts.
name=${0##*/}

up() {
    rm -f "$ENGINE/code" "$ENGINE/pid"
    {
        musterd -c "$MUSTER_CONFIG" >"$ENGINE/log" 2>&1 3>&- &
        echo $! >"$ENGINE/pid"
        wait $!
        echo $? >"$ENGINE/code"
    } >/dev/null 2>&1 </dev/null &
    # Fails after its own timeout.
    until musterctl wait all --for running --timeout 20s >/dev/null 2>&1; do
        [ ! -e "$ENGINE/code" ] || { cat "$ENGINE/log" >&2; exit 1; }
    done
}

down() {
    kill -TERM "$(cat "$ENGINE/pid")"
    until [ -e "$ENGINE/code" ]; do sleep 0.01; done
}

# The command inside of the container.
inside() {
    while [ $# -gt 0 ]; do
        case $1 in
        musterd | musterctl | sh) exec "$@" ;;
        esac
        shift
    done
    echo "$name: there is no command: $*" >&2
    exit 125
}

case "$name $1 $*" in
"ssh "*) shift; exec "$@" ;;
*" exec "*) inside "$@" ;;
*" run run --rm "*) inside "$@" ;;
*" run run -d "*) up ;;
*" stop "*) down ;;
*" logs "*) cat "$ENGINE/log" ;;
*" inspect "*) cat "$ENGINE/code" ;;
*)
    echo "$name: not played: $*" >&2
    exit 125
    ;;
esac
