#!/bin/bash
# fdsrv and fdcat: a descriptor goes from one to the other, once, to who knows the word.
. tests/e2e/lib.sh

BIN=${TEST_SRCDIR:+$TEST_SRCDIR/$TEST_WORKSPACE}
BIN=${BIN:-$PWD/bazel-bin}
T=$(mktemp -d)
SERVER=

t_cleanup() {
  [ -z "$SERVER" ] || kill -9 "$SERVER" 2>/dev/null
  rm -rf "$T"
}

# serve NONCE [OPTION...]: fdsrv with $T/file; its path is left in $ADDRESS.
serve() {
  local nonce=$1
  shift
  rm -f "$T/out"
  mkfifo "$T/out"
  "$BIN/fdsrv" "$@" "$nonce" <"$T/file" >"$T/out" 2>"$T/err" &
  SERVER=$!
  read -r -t 60 ADDRESS WORD <"$T/out"
}
# served STATUS: how it ended.
served() {
  wait "$SERVER"
  local status=$?
  SERVER=
  [ "$status" = "$1" ] || t_fail "fdsrv: exit status $status, not $1: $(cat "$T/err")"
}
# says STATUS TEXT COMMAND...: it fails so, in its own name.
says() { t_says "$1" "^$(basename "$3"): .*$2" "${@:3}"; }

head -c 300000 /dev/urandom >"$T/file"

t_begin "what fdsrv shares, fdcat copies"
serve "my secret" --timeout 60s
[ "${ADDRESS:0:1}" = @ ] && [ "$WORD" = "my secret" ] || t_fail "$ADDRESS $WORD"
"$BIN/fdcat" "$ADDRESS" "my secret" >"$T/copy" || t_fail
cmp "$T/file" "$T/copy" || t_fail
served 0
says 1 "nobody serves" "$BIN/fdcat" "$ADDRESS" "my secret"
t_pass

t_begin "a wrong word gets nothing, and keeps nobody from getting it"
serve secret --timeout 60s
says 4 "another nonce" "$BIN/fdcat" "$ADDRESS" secre
says 2 "nonce" "$BIN/fdcat" "$ADDRESS" ""
"$BIN/fdcat" "$ADDRESS" secret | cmp - "$T/file" || t_fail
served 0
t_pass

t_begin "nobody comes: exit status 1, a second later"
serve secret
served 1
grep -q "^fdsrv: no client" "$T/err" && grep -q "^hint: " "$T/err" || t_fail "$(cat "$T/err")"
t_pass

t_begin "usage"
says 2 "one argument" "$BIN/fdsrv"
says 2 "one argument" "$BIN/fdsrv" a b
says 2 "nonce" "$BIN/fdsrv" ""
says 2 "timeout" "$BIN/fdsrv" --timeout=-1s x
says 2 "two arguments" "$BIN/fdcat" @x
says 2 "path" "$BIN/fdcat" "" x
says 1 "nobody serves" "$BIN/fdcat" @nobody x
"$BIN/fdsrv" x <&- 2>"$T/said"
[ $? = 1 ] && grep -q "^fdsrv: cannot share standard input" "$T/said" || t_fail "$(cat "$T/said")"
"$BIN/fdsrv" --help | grep -q NONCE && "$BIN/fdcat" --version | grep -q . || t_fail
t_pass
