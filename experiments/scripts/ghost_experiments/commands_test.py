"""Options, sweeps and command lines."""
import dataclasses
import unittest

from experiments.scripts.ghost_experiments import arguments, commands, options, sweep
from experiments.scripts.ghost_experiments.commands import Setup
from experiments.scripts.ghost_experiments.errors import USAGE, ExperimentError
from experiments.scripts.ghost_experiments.experiments import EXPERIMENTS, POLICIES
from experiments.scripts.ghost_experiments.plan import make_plan
from experiments.scripts.ghost_experiments.topology import made_up


def setup_of(name, cpus=9, **times):
    return Setup(EXPERIMENTS[name], make_plan(name, made_up(cpus), 6, "auto"), **times)


class FlagsTest(unittest.TestCase):
    def test_unset_fields_are_left_to_the_program(self):
        @dataclasses.dataclass
        class Sample:
            number: int = 3
            text: str = ""
            yes: bool = True
            unset: str | None = None
        self.assertEqual(options.flags(Sample()), ["--number=3", "--text=", "--yes=true"])

    def test_durations(self):
        self.assertEqual([options.seconds(value) for value in (10, 1.5, 0.25)], ["10s", "1.5s", "0.25s"])


class SweepTest(unittest.TestCase):
    def test_the_papers(self):
        loads = EXPERIMENTS["shinjuku"].cfs.loads
        self.assertEqual(loads[:5], (10_000, 20_000, 30_000, 40_000, 50_000))
        self.assertEqual(loads[-2:], (79_000, 80_000))
        ghost = EXPERIMENTS["centralized_queuing"].ghost.loads
        self.assertEqual((len(ghost), ghost[0], ghost[41], ghost[42], ghost[-1]),
                         (42 + 31, 10_000, 420_000, 430_000, 460_000))
        for experiment in EXPERIMENTS.values():
            for side in (experiment.cfs, experiment.ghost):
                self.assertEqual(list(side.loads), sorted(set(side.loads)))

    def test_thinned(self):
        self.assertEqual(sweep.thinned([1, 2, 3, 4, 5], 3), [1, 3, 5])
        self.assertEqual(sweep.thinned([1, 2, 3], 7), [1, 2, 3])
        self.assertEqual(sweep.thinned([1, 2, 3], 1), [3])

    def test_scaled(self):
        self.assertEqual(sweep.scaled([10_000, 20_000], 0.5), [5000, 10_000])
        self.assertEqual(sweep.scaled([1, 2], 0.1), [1])

    def test_of_capacity(self):
        loads = sweep.of_capacity(10_000, 7)
        self.assertEqual(len(loads), 7)
        self.assertEqual((loads[0], loads[-1]), (1000, 12_000))
        self.assertEqual(sweep.of_capacity(10, 3), [1, 7, 12])

    def test_the_search_for_what_a_machine_carries(self):
        for capacity in (11, 100, 999, 5000, 27_000):
            tried = []

            def keeps_up(load):
                tried.append(load)
                return load <= capacity
            found = sweep.search_capacity(keeps_up, 28_612)
            self.assertLessEqual(found, capacity)
            self.assertGreater(found, capacity / 1.4)
            self.assertLessEqual(len(tried), 12)
        self.assertEqual(sweep.search_capacity(lambda load: True, 28_612), 28_612)
        self.assertEqual(sweep.search_capacity(lambda load: False, 28_612), 10)

    def test_loads_read_well(self):
        self.assertEqual([sweep.round_down(value) for value in (0.5, 7.9, 12_345, 99_999)], [1, 7, 12_000, 99_000])

    def test_ideal_capacity(self):
        service = sweep.mean_service_us(10, 5000, 0.005)
        self.assertAlmostEqual(service, 34.95)
        self.assertAlmostEqual(sweep.ideal_capacity_per_s(6, service), 171_674, delta=1)


class CommandsTest(unittest.TestCase):
    def test_linux(self):
        self.assertEqual(commands.rocksdb(setup_of("shinjuku"), "cfs", 20_000, "/db"), [
            "--throughput=20000", "--scheduler=cfs", "--num_workers=6", "--load_generator_cpus=1",
            "--range_query_ratio=0.005", "--cfs_dispatcher_cpus=2", "--worker_cpus=3-8", "--cfs_wait_type=spin",
            "--get_duration=10us", "--range_duration=5000us", "--experiment_duration=15s", "--discard_duration=2s",
            "--rocksdb_db_path=/db", "--print_format=json"])

    def test_ghost(self):
        words = commands.rocksdb(setup_of("shinjuku"), "ghost-shinjuku", 20_000, None, "/ghost", "enclave_1")
        self.assertIn("--num_workers=200", words)
        self.assertIn("--worker_cpus=", words)
        self.assertIn("--ghost_wait_type=prio_table", words)
        self.assertIn("--ghost_qos=2", words)
        self.assertIn("--ghostfs=/ghost", words)
        self.assertIn("--enclave=enclave_1", words)
        self.assertFalse([word for word in words if "cfs" in word or "db_path" in word])

    def test_a_policy_without_hints_is_told_by_sleeping(self):
        for name, policy in POLICIES.items():
            words = commands.rocksdb(setup_of("shinjuku"), policy.system, 1, None)
            self.assertIn("--ghost_wait_type=" + ("prio_table" if name in ("shinjuku", "edf") else "futex"), words)

    def test_agents(self):
        setup = setup_of("shinjuku")
        self.assertEqual(commands.agent(setup, POLICIES["shinjuku"], "/ghost"), [
            "--ghost_cpus=2-8", "--globalcpu=2", "--preemption_time_slice=30us", "--ghostfs=/ghost"])
        self.assertEqual(commands.agent(setup, POLICIES["cfs"], "/g"), ["--ghost_cpus=2-8", "--ghostfs=/g"])
        self.assertIn("--preemption_time_slice=inf",
                      commands.agent(setup_of("centralized_queuing"), POLICIES["shinjuku"], "/g"))

    def test_a_batch_application_ends_by_slices_where_there_are_no_classes(self):
        for name, beside_batch, alone in (("fifo", "50us", "inf"), ("sol", "50us", "inf"), ("edf", None, None)):
            self.assertEqual(commands.slice_of(setup_of("shinjuku_shenango"), POLICIES[name]), beside_batch)
            self.assertEqual(commands.slice_of(setup_of("shinjuku"), POLICIES[name]), alone)

    def test_a_slice_of_ones_own_is_for_those_that_have_one(self):
        for name, policy, wanted in (("shinjuku", "shinjuku", "500us"), ("centralized_queuing", "shinjuku", "inf"),
                                     ("shinjuku", "fifo", "inf"), ("shenango", "fifo", "500us"),
                                     ("shenango", "edf", None)):
            self.assertEqual(commands.slice_of(setup_of(name, slice="500us"), POLICIES[policy]), wanted)

    def test_linux_workers_spin_only_on_cpus_of_their_own(self):
        for name, cpus, wanted in (("shinjuku", 9, "spin"), ("shinjuku", 3, "spin"), ("shinjuku", 2, "futex"),
                                   ("shenango", 9, "futex")):
            self.assertEqual(commands.cfs_wait_type(setup_of(name, cpus)), wanted)

    def test_antagonist(self):
        setup = setup_of("shenango")
        self.assertEqual(commands.antagonist(setup, "cfs")[:4],
                         ["--scheduler=cfs", "--num_threads=6", "--work_share=1.0", "--cpus=3-8"])
        self.assertIn("--ghost_qos=1", commands.antagonist(setup, "ghost-shinjuku", "/ghost", "enclave_1"))

    def test_a_small_machine_has_fewer_threads_and_none_that_spins_on_anothers_cpu(self):
        setup = setup_of("shinjuku", cpus=2)
        self.assertEqual(commands.worker_threads(setup, "ghost-shinjuku"), 33)
        self.assertEqual(commands.worker_threads(setup, "cfs"), 1)
        self.assertIn("--cfs_wait_type=futex", commands.rocksdb(setup, "cfs", 1, None))
        self.assertEqual(commands.worker_threads(setup_of("shenango", cpus=2), "ghost-fifo"), 2)

    def test_what_is_discarded(self):
        words = commands.rocksdb(setup_of("shinjuku", duration_s=1), "cfs", 1, None)
        self.assertIn("--discard_duration=0.5s", words)
        words = commands.rocksdb(setup_of("shinjuku"), "cfs", 1, None, probe_s=3)
        self.assertIn("--experiment_duration=3s", words)
        self.assertIn("--discard_duration=0s", words)


class ArgumentsTest(unittest.TestCase):
    def parse(self, *words):
        return arguments.parse(EXPERIMENTS["shinjuku"], words)

    def refused(self, wanted, *words):
        with self.assertRaises(ExperimentError) as caught:
            self.parse(*words)
        self.assertEqual(caught.exception.code, USAGE)
        self.assertIn(wanted, caught.exception.what)
        self.assertTrue(caught.exception.hint)

    def test_all(self):
        given = self.parse("ghost", "--scale", "auto", "cfs", "--duration", "10s", "--policy=fifo,edf",
                           "--loads=3,1,3")
        self.assertEqual(given.systems, ["ghost", "cfs"])
        self.assertEqual((given.scale, given.duration, given.policy, given.loads),
                         ("auto", 10, ["fifo", "edf"], [1, 3]))

    def test_defaults(self):
        given = self.parse("ghost")
        self.assertEqual((given.scale, given.duration, given.discard, given.policy), ("", 15, 2, ["shinjuku"]))
        self.assertAlmostEqual(given.get_duration, 10e-6)

    def test_durations(self):
        for text, value in (("500ms", 0.5), ("1.5m", 90), ("10us", 1e-5)):
            self.assertAlmostEqual(arguments.duration_s(text), value)

    def test_refusals(self):
        self.refused("which schedulers?")
        self.refused("there is no scheduler 'linux'", "linux")
        self.refused("'10' is no duration", "cfs", "--duration", "10")
        self.refused("less than 0.5 s", "cfs", "--duration", "100ms")
        self.refused("neither 'auto' nor a factor", "cfs", "--scale", "2")
        self.refused("no list of requests", "cfs", "--loads", "1,x")
        self.refused("no policy 'lottery'", "ghost", "--policy", "fifo,lottery")
        self.refused("no number of points", "cfs", "--points", "0")
        self.refused("--slice: 'soon' is no duration", "ghost", "--slice", "soon")
        self.refused("--nonsense", "cfs", "--nonsense")


if __name__ == "__main__":
    unittest.main()
