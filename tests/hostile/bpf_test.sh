#!/bin/bash
# Agents whose BPF programs and maps are not what they should be.
. tests/e2e/lib.sh
. tests/e2e/env.sh
. tests/hostile/hostile.sh

h_kernel
h_case "effects, results and contexts of any value" bpf_garbage_effects waits "can.t be done"
h_case "noise all over the maps while ghostd writes there" bpf_scribbled_maps waits "can.t be done"
h_case "every run asks for more of them" bpf_endless_effects waits
h_case "programs that run as long as the verifier allows" bpf_loops lives
h_case "programs come and go while they run" bpf_replaced lives
h_case "another process writes into the maps, also when the agent is dead" bpf_shared_maps waits "can.t be done"
h_case "descriptors, types and flags of any kind" bpf_attach_garbage lives
h_case "maps that can't be written any more" bpf_frozen_maps lives

# Its agents die with the enclave.
t_begin "an enclave is destroyed with programs attached; others are attached to it then"
h_attacker attacker bpf_dead_enclave && h_client client "$ENCLAVE" || t_fail
e_tell attacker attack
e_end attacker 30 || t_fail "the agents live on"
h_well && t_pass
