#!/bin/sh
# clang-tidy in the shape of a compiler, so that ccache can keep what it found clean:
#   tidy_compiler.sh FLAGS -c -o OUTPUT SOURCE
# looks at SOURCE as FLAGS say, and makes OUTPUT when it has nothing to say.
set -eu
case " $* " in *" -E "*) exec clang++-14 "$@" ;; esac
config=$(dirname "$0")/../.clang-tidy
output='' before='' argument=''
for argument; do
  shift
  case $before$argument in
    -c) ;;
    -o) before=$argument ;;
    -o*) output=$argument before='' ;;
    *.cc) ;; # the last one
    *) set -- "$@" "$argument" ;;
  esac
done
clang-tidy-14 --quiet --warnings-as-errors='*' --config-file="$config" "$argument" -- "$@" >&2
echo clean >"$output"
