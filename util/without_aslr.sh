#!/bin/sh
# Runs a command without address space randomisation, where that can be had: gcc 12's ThreadSanitizer refuses to start
# under a kernel with more than 28 random bits (vm.mmap_rnd_bits; Debian has 28, others 32). Some containers forbid to
# turn it off; then the command simply runs.
setarch -R true 2>/dev/null && exec setarch -R "$@"
exec "$@"
