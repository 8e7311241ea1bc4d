#!/bin/bash
# Clients that do what no scheduler likes, inside an enclave and on its threshold.
. tests/e2e/lib.sh
. tests/e2e/env.sh
. tests/hostile/hostile.sh

h_kernel

h_client_case "ignores the gate's signal" ignore_urg inside
h_client_case "blocks every signal" block_all inside
h_client_case "raises the gate's signal, and gets each of its own" raise_urg inside
h_client_case "gets the gate's signal from elsewhere all the time" urg_storm inside
h_client_case "stops itself" stop_self inside
h_client_case "is stopped and continued all the time" stop_cont_storm inside
h_client_case "is killed while stopped" kill_stopped inside
h_client_case "is killed in any state" kill_gated inside
h_client_case "gets a timer signal every 500 us" alarm_storm inside
h_client_case "dumps core" dump_core inside
h_client_case "wants to be traced, and to trace others" trace_each_other inside

h_client_case "a fork bomb" fork_bomb inside
h_client_case "threads that end at once" thread_storm inside
h_client_case "vfork" vfork inside
h_client_case "the waiting parent of a vfork is killed" kill_vfork_parent inside
h_client_case "clone with CLONE_UNTRACED: the child is inside, too" clone_untraced inside
h_client_case "… and ends at once" clone_untraced_short inside
h_client_case "clone with CLONE_PARENT" clone_parent inside
h_client_case "clone with CLONE_VM, and no thread" clone_vm inside
h_client_case "clone with other exit signals" clone_signals inside
h_client_case "exec by a thread that is not the leader" exec_non_leader inside
h_client_case "a setuid program" exec_setuid inside
h_client_case "a process that is not dumpable" undumpable inside
h_client_case "namespaces of every kind" namespaces inside
h_client_case "a pid namespace that ends" pid_namespace_ends inside
h_client_case "chroot" chroot inside
h_client_case "seccomp filters" seccomp inside
h_client_case "a daemon" daemonize inside
h_client_case "a process without descriptors" close_all inside

h_client_case "threads end while they are moved in" exit_while_moved outside
h_client_case "processes are killed while they are moved in" kill_while_moved outside
h_client_case "processes exec while they are moved in" exec_while_moved outside
h_client_case "stopped processes are moved in" move_stopped outside
h_client_case "parents in vfork are moved in" move_vfork_parent outside
h_client_case "only the leader is moved in, and ends before the others" leader_ends_first outside
h_client_case "… which end one by one" leader_ends_quietly outside
h_client_case "tasks become real-time, ordinary again, and enter again" change_policy outside
h_client_case "threads change their affinity all the time" affinity_storm inside
h_client_case "somebody changes others' affinity all the time" outside_storm outside
h_client_case "tasks is read while tasks come and go" readers_and_forks outside
