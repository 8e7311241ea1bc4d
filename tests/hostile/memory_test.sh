#!/bin/bash
# Every word that agents share with the kernel, corrupted while it is in use; and the files behind them, by their owner.
. tests/e2e/lib.sh
. tests/e2e/env.sh
. tests/hostile/hostile.sh

h_kernel

h_case "a queue's tail has any value" queue_tail lives
h_case "a queue's head and overflow counter have any value" queue_head lives
h_case "a queue's version, start and size have any value" queue_header lives
h_case "noise all over the queue" queue_all lives
h_case "every field of a transaction changes while it is committed" txn_fields waits
h_case "the state of a transaction changes while it is committed" txn_state waits
h_case "noise all over the transactions" txn_all waits
h_case "sync groups whose owners change" sync_group_owner waits
h_case "noise all over the status words" status_words waits
h_case "noise in the header of the status words" status_word_header lives
h_case "transactions of CPUs that are not the enclave's" other_cpus lives
h_case "cpu_data is truncated" truncate_cpu_data dies "was truncated"
h_case "the status words are truncated" truncate_words dies "was truncated"
h_case "a queue is truncated" truncate_queue dies "was truncated"
h_case "cpu_data and status words have holes" punch_holes waits
h_case "the files of the shared memory are unlinked" unlink lives
h_case "the directory of the shared memory is removed" remove_directory lives
h_case "other things have the names of the files" replace lives

t_begin "nothing is left when ghostd ends"
e_kernel_stop && [ "$STATUS" = 0 ] || t_fail "it ends with $STATUS"
[ ! -e "$H_SHM" ] || t_fail "left: $(ls -lR "$H_SHM")"
t_pass
