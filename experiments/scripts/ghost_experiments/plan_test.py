"""CPU plans on made-up topologies, CPU lists, and the machine's own topology from a made-up sysfs."""
import os
import tempfile
import unittest

from experiments.scripts.ghost_experiments import topology
from experiments.scripts.ghost_experiments.errors import USAGE, ExperimentError
from experiments.scripts.ghost_experiments.plan import Plan, best_first, make_plan
from experiments.scripts.ghost_experiments.topology import made_up


def everybody(plan: Plan) -> list[int]:
    return [*plan.background, *plan.generator, plan.central, *plan.workers]


class CpuListTest(unittest.TestCase):
    def test_there_and_back(self):
        for text, cpus in (("", []), ("3", [3]), ("0-2,5", [0, 1, 2, 5]), ("0,2,4-5", [0, 2, 4, 5])):
            self.assertEqual(topology.parse_cpu_list(text), cpus)
            self.assertEqual(topology.format_cpu_list(cpus), text)

    def test_nonsense(self):
        with self.assertRaises(ValueError):
            topology.parse_cpu_list("0-x")


class SysfsTest(unittest.TestCase):
    def machine(self, files):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        for path, text in files.items():
            full = os.path.join(directory.name, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w", encoding="ascii") as file:
                file.write(text + "\n")
        return directory.name

    def test_siblings_nodes_and_what_is_allowed(self):
        files = {"cpu/online": "0-3,6", "node/node0/cpulist": "0,2", "node/node1/cpulist": "1,3,6"}
        for cpu, siblings in {0: "0,2", 2: "0,2", 1: "1,3", 3: "1,3", 6: "6"}.items():
            files[f"cpu/cpu{cpu}/topology/thread_siblings_list"] = siblings
        found = topology.from_sysfs(self.machine(files), allowed=[0, 2, 3, 6])
        self.assertEqual([(cpu.number, cpu.core, cpu.node, cpu.smt) for cpu in found.cpus],
                         [(0, 0, 0, 0), (2, 0, 0, 1), (3, 1, 1, 1), (6, 6, 1, 0)])

    def test_without_topology_each_cpu_is_a_core(self):
        found = topology.from_sysfs(self.machine({"cpu/online": "0-1"}), allowed=[0, 1])
        self.assertEqual([(cpu.core, cpu.smt) for cpu in found.cpus], [(0, 0), (1, 0)])

    def test_this_machine(self):
        self.assertEqual(set(topology.from_sysfs().numbers()), os.sched_getaffinity(0))


class PlanTest(unittest.TestCase):
    def refused(self, wanted, *args):
        with self.assertRaises(ExperimentError) as caught:
            make_plan("shinjuku", *args)
        self.assertEqual(caught.exception.code, USAGE)
        self.assertIn(wanted, caught.exception.what)
        self.assertTrue(caught.exception.hint)

    def test_the_papers_size(self):
        for machine in (made_up(9), made_up(18), made_up(64, smt=2), made_up(128, nodes=2)):
            plan = make_plan("shinjuku", machine, 6)
            self.assertEqual(len(set(everybody(plan))), 9)
            self.assertEqual(plan.notes, ())
            self.assertEqual(len(plan.ghost_cpus), 7)
            self.assertEqual(plan.batch_cpus, sorted(plan.workers))
            self.assertTrue(plan.has_background_cpu)

    def test_too_small_is_refused_with_a_reason(self):
        for cores in (2, 4, 8):
            self.refused(f"needs 9 CPUs and may use {cores}", made_up(cores), 6)
        for scale in ("", "auto", "0.5"):
            self.refused("needs 2 CPUs and may use 1", made_up(1), 6, scale)

    def test_auto_takes_what_there_is(self):
        for cores, workers in ((8, 5), (5, 2), (4, 1)):
            plan = make_plan("shinjuku", made_up(cores), 6, "auto")
            self.assertEqual(len(plan.workers), workers)
            self.assertEqual(len(set(everybody(plan))), workers + 3)
            self.assertEqual(plan.notes, (f"workers run on {workers} of 6 CPUs",))
        self.assertEqual(make_plan("shinjuku", made_up(9), 6, "auto"), make_plan("shinjuku", made_up(9), 6))

    def test_three_cpus_the_generator_is_where_the_rest_of_the_system_is(self):
        plan = make_plan("shinjuku", made_up(3), 6, "auto")
        self.assertEqual((plan.background, plan.generator, plan.central, plan.workers), ((0,), (0,), 1, (2,)))
        self.assertIn("the load generator shares CPU 0 with the rest of the system", plan.notes)
        self.assertFalse(plan.has_background_cpu)

    def test_two_cpus_nobody_shares_with_the_agent_who_polls(self):
        plan = make_plan("shinjuku", made_up(2), 6, "auto")
        self.assertEqual((plan.generator, plan.central, plan.workers), ((1,), 0, (1,)))
        self.assertEqual(plan.ghost_cpus, [0, 1])
        self.assertEqual(plan.batch_cpus, [1])
        self.assertIn("the load generator and the rest of the system share CPU 1 with the workers; under Linux the "
                      "load generator shares CPU 0 with the dispatcher", plan.notes)
        self.assertEqual(plan.linux_generator, (0,))
        self.assertEqual(make_plan("shinjuku", made_up(3), 6, "auto").linux_generator, (0,))

    def test_a_factor_must_fit(self):
        self.assertEqual(len(make_plan("shinjuku", made_up(8), 6, "0.5").workers), 3)
        self.assertEqual(len(make_plan("shinjuku", made_up(8), 6, "0.01").workers), 1)
        self.refused("needs 8 CPUs and may use 7", made_up(7), 6, "0.8")

    def test_a_core_each_before_any_gives_its_second_thread(self):
        plan = make_plan("shinjuku", made_up(9, smt=2), 6)
        self.assertLess(max(everybody(plan)), 9)
        shared = make_plan("shinjuku", made_up(8, smt=2), 6)
        self.assertEqual(shared.workers[-1], 8)  # the sibling of CPU 0, the background's, is the first to be taken
        self.assertEqual(shared.notes, ())       # ... which is none of the experiment's
        crowded = make_plan("shinjuku", made_up(5, smt=2), 6)
        self.assertIn("some CPUs of the experiment are hardware threads of one core", crowded.notes)

    def test_one_numa_node_if_it_is_large_enough(self):
        plan = make_plan("shinjuku", made_up(24, nodes=2), 6)
        self.assertLess(max(everybody(plan)), 12)
        spread = make_plan("shinjuku", made_up(10, nodes=2), 6)
        self.assertIn("the experiment's CPUs are on more than one NUMA node", spread.notes)
        # Hyperthreads of one node before another node's cores.
        self.assertEqual(best_first(made_up(4, smt=2, nodes=2)), [0, 1, 4, 5, 2, 3, 6, 7])

    def test_a_cpuset_is_respected(self):
        allowed = [3, 5, 7, 9, 11, 13, 15, 17, 19, 21]
        plan = make_plan("shinjuku", made_up(128).restricted(allowed), 6)
        self.assertLessEqual(set(everybody(plan)), set(allowed))
        self.refused("may use 4", made_up(128).restricted(range(4)), 6)


if __name__ == "__main__":
    unittest.main()
