#!/bin/bash
# Every BPF object that this repository builds passes the verifier of the kernel that runs this.
. tests/e2e/lib.sh
OUT=$(mktemp)
t_cleanup() { rm -f "$OUT"; }

t_begin "all objects are loaded"
tests/bpf/load_objects third_party/bpf >"$OUT" || t_fail "$(cat "$OUT")"
cat "$OUT"
! grep "not for this kernel, which has no" "$OUT" || t_fail "this kernel is too old"
t_pass
