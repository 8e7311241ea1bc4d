#!/bin/bash
# What vm_test.sh runs inside the virtual machine: the scheduling tools' programs must pass this kernel's verifier and
# find its fields. Last of all on a kernel that is locked down, which it stays.
set -eu
/usr/bin/python3 bpf/tools/tools_test.py -v StockTest ProgramTest.test_kill_leaves_nothing GhostTest.test_schedlat \
  GhostTest.test_schedrun GhostTest.test_schedghostidle
LOCK_DOWN=1 /usr/bin/python3 bpf/tools/tools_test.py -v ProgramTest.test_when_locked_down
