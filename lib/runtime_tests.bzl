"""runtime_tests: the tests of what policies see, of the framework's spine and of its runtimes over the mock kernel."""

load("//:unit_test.bzl", "unit_test")

_FOR_POLICIES = [
    "affinity_groups_test",
    "centralized_policy_test",
    "tunable_test",
]

_SPINE = [
    "agent_test",
    "channel_test",
    "enclave_test",
    "ghostfs_test",
    "per_cpu_recovery_test",
    "per_cpu_runtime_test",
    "per_cpu_share_test",
    "per_cpu_stress_test",
    "run_request_test",
    "task_index_test",
    "task_test",
]

_CENTRALIZED = [
    "centralized_async_test",
    "centralized_cpus_test",
    "centralized_handoff_test",
    "centralized_recovery_test",
    "centralized_runtime_test",
    "centralized_stress_test",
]

def runtime_tests():
    """Defines them in lib's BUILD file."""
    for name in _FOR_POLICIES:
        unit_test(
            name = name,
            deps = [
                ":affinity_groups",
                ":centralized_policy",
                ":task",
                ":tunable",
                "//lib/base:cpu_set",
                "//lib/base:status",
                "//lib/base:time",
            ],
        )
    for name in _SPINE:
        unit_test(
            name = name,
            deps = [
                ":agent",
                ":channel",
                ":enclave",
                ":ghostfs",
                ":per_cpu_runtime",
                ":run_request",
                ":task",
                "//kernel/abi:message",
                "//lib/base:poll_until",
                "//lib/base:status",
                "//lib/testing:blocking_kernel",
                "//lib/testing:list_policy",
                "//lib/testing:mock_kernel",
                "//lib/testing:runtime_stress",
                "//lib/testing:runtime_test",
                "//lib/testing:task_test_peer",
            ],
        )
    for name in _CENTRALIZED:
        unit_test(
            name = name,
            deps = [
                ":centralized_runtime",
                ":enclave",
                ":topology",
                "//kernel/abi:message",
                "//lib/base:poll_until",
                "//lib/base:status",
                "//lib/testing:blocking_kernel",
                "//lib/testing:centralized_test",
                "//lib/testing:mock_kernel",
                "//lib/testing:runtime_stress",
            ],
        )
