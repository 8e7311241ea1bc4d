"""The experiments of the ghOSt paper with RocksDB, on any machine: what the scripts beside this package share."""
