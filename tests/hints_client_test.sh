#!/bin/bash
# The client that docs/prio-table.md shows works also where no scheduler reads it.
. tests/e2e/lib.sh

t_begin "it ends, without a scheduler"
said=$(timeout 60 tests/hints_client) || t_fail "exit status $?: $said"
[ "$said" = "1000 pieces of work are done" ] || t_fail "$said"
t_pass
