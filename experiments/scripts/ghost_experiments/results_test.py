"""What programs print: parsed, checked, kept, resumed."""
import copy
import json
import os
import tempfile
import unittest

from experiments.scripts.ghost_experiments import parse, samples, sanity
from experiments.scripts.ghost_experiments.errors import USAGE, ExperimentError
from experiments.scripts.ghost_experiments.point import Point, by_system
from experiments.scripts.ghost_experiments.store import Store


class ParseTest(unittest.TestCase):
    def refused(self, wanted, parser, data):
        with self.assertRaises(ExperimentError) as caught:
            parser(data if isinstance(data, str) else json.dumps(data))
        self.assertIn(wanted, caught.exception.what)

    def test_a_point(self):
        data = parse.rocksdb(json.dumps(samples.rocksdb(1000, 990, ranges=True)))
        point = parse.point("cfs", data, 0.25)
        self.assertEqual((point.offered_per_s, point.achieved_per_s, point.p50_us, point.p99_us, point.max_us,
                          point.get_p99_us, point.range_p99_us, point.batch_share),
                         (1000, 990, 8, 20, 80, 20, 20, 0.25))
        self.assertIsNone(parse.point("cfs", samples.rocksdb(), None).range_p99_us)

    def test_of_no_request_there_is_no_latency(self):
        point = parse.point("cfs", parse.rocksdb(json.dumps(samples.rocksdb(1000, 0))), None)
        self.assertEqual((point.achieved_per_s, point.p50_us, point.p99_us, point.get_p99_us), (0, None, None, None))

    def test_what_is_not_whole_is_refused(self):
        self.refused("printed no JSON", parse.rocksdb, "")
        self.refused("printed something else", parse.rocksdb, samples.antagonist())
        self.refused("printed something else", parse.rocksdb, "[]")
        for path in (("achieved_per_s",), ("requests", "all"), ("requests", "all", "total", "p99_5_ns"),
                     ("requests", "get", "worker_queue_time")):
            data = samples.rocksdb()
            place = data
            for key in path[:-1]:
                place = place[key]
            del place[path[-1]]
            self.refused("not whole", parse.rocksdb, data)
        data = samples.antagonist()
        del data["total"]["share"]
        self.refused("not whole", parse.antagonist, data)

    def test_batch_share_is_of_the_workers_cpus(self):
        data = parse.antagonist(json.dumps(samples.antagonist(share=0.3, workers=7)))
        self.assertAlmostEqual(parse.batch_share(data, 6), 0.35)

    def test_points_of_newer_programs(self):
        point = Point.from_json({"system": "cfs", "offered_per_s": 5, "panel": "a"})
        self.assertEqual(point, Point("cfs", 5))
        self.assertEqual(Point.from_json(point.to_json()), point)

    def test_curves(self):
        points = [Point("b", 2), Point("a", 1), Point("b", 1)]
        self.assertEqual(by_system(points), {"b": [Point("b", 1), Point("b", 2)], "a": [Point("a", 1)]})


class SanityTest(unittest.TestCase):
    def test_all_is_well(self):
        self.assertEqual(sanity.complaints(samples.rocksdb(ranges=True)), [])

    def test_each_check_can_fail(self):
        for stage, name, value, wanted in (
                ("total", "p99_ns", 10**9, "percentiles are not in order"),
                ("worker_queue_time", "total", 1, "different numbers of requests"),
                ("total", "min_ns", 1, "the least total"),
                ("total", "max_ns", 10**9, "the greatest total"),
                ("worker_handle_time", "max_ns", 10**9, "longer than the whole"),
                ("worker_handle_time", "mean_ns", 5000, "the stages' means add up to 11000 ns"),
                ("total", "p99_5_ns", 32_900, "p99.5 of the total")):
            data = copy.deepcopy(samples.rocksdb())
            data["requests"]["all"][stage][name] = value
            self.assertTrue(any(wanted in text for text in sanity.complaints(data)), (wanted, sanity.complaints(data)))

    def test_keeps_up(self):
        self.assertTrue(sanity.keeps_up(samples.rocksdb(10_000, 9_900)))
        self.assertFalse(sanity.keeps_up(samples.rocksdb(10_000, 9_500)))
        self.assertTrue(sanity.probe_keeps_up(samples.rocksdb(1000, 990)))
        self.assertFalse(sanity.probe_keeps_up(samples.rocksdb(1000, 900)))
        # Ten requests in a second may well be fourteen.
        self.assertTrue(sanity.keeps_up(samples.rocksdb(10, 14, duration_s=1)))


class StoreTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.place = os.path.join(directory.name, "results")

    def create(self):
        return Store.create(self.place, {"experiment": "shinjuku", "loads": {"cfs": [100, 200], "ghost-fifo": [50]}})

    def test_finished_points_outlive_their_run(self):
        store = self.create()
        store.save(samples.record("cfs", 200))
        again = Store.open(self.place)
        self.assertEqual([again.has("cfs", 100), again.has("cfs", 200), again.has("ghost-fifo", 200)],
                         [False, True, False])
        self.assertEqual(again.config, store.config)

    def test_a_point_that_was_cut_off_is_run_again(self):
        store = self.create()
        with open(os.path.join(self.place, "points", "cfs-100.json"), "w", encoding="ascii") as file:
            file.write('{"system": "cf')
        self.assertFalse(store.has("cfs", 100))
        self.assertEqual(store.records(), [])

    def test_results_are_in_the_order_of_the_sweep(self):
        store = self.create()
        for system, load in (("ghost-fifo", 50), ("cfs", 200), ("cfs", 100)):
            store.save(samples.record(system, load))
        with open(store.write_results(), encoding="utf-8") as file:
            results = json.load(file)
        self.assertEqual([(point["system"], point["load"]) for point in results["points"]],
                         [("cfs", 100), ("cfs", 200), ("ghost-fifo", 50)])

    def refused(self, wanted, call):
        with self.assertRaises(ExperimentError) as caught:
            call()
        self.assertIn(wanted, caught.exception.what)
        self.assertEqual(caught.exception.code, USAGE)

    def test_folders_that_will_not_do(self):
        self.create()
        self.refused("is not empty", self.create)
        self.refused("is no folder of results", lambda: Store.open("/proc/self"))
        self.refused("cannot write to", lambda: Store.create("/proc/nowhere", {}))
        path = os.path.join(self.place, "run.json")
        with open(path, "w", encoding="ascii") as file:
            file.write('{"format": 99}')
        self.refused("format 99", lambda: Store.open(self.place))


if __name__ == "__main__":
    unittest.main()
