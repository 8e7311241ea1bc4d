"""The simulated Figure 6 near the paper's, from runs that are short enough for every day; and what it is checked by.

The whole sweep is `experiments/scripts/shinjuku --simulate`.
"""
import os
import subprocess
import sys
import tempfile
import unittest

SCRIPTS = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, SCRIPTS)
import simulate  # noqa: E402  pylint: disable=wrong-import-position
import simulate_check  # noqa: E402  pylint: disable=wrong-import-position
from ghost_experiments import paper  # noqa: E402  pylint: disable=wrong-import-position
from ghost_experiments.errors import ExperimentError  # noqa: E402  pylint: disable=wrong-import-position
from ghost_experiments.point import Point  # noqa: E402  pylint: disable=wrong-import-position

GHOSTSIM = "util/ghostsim"
SHARE_LOADS = (10_000, 50_000, 100_000, 150_000, 180_000, 220_000, 250_000, 270_000, 290_000, 300_000)


class Shared:
    """What the cases share."""
    simulator: simulate.Simulator


def setUpModule():
    Shared.simulator = simulate.Simulator(os.path.abspath(GHOSTSIM))


def tearDownModule():
    Shared.simulator.close()


class FiguresTest(unittest.TestCase):
    def around(self, system, batch):
        """p99 at 0.9 and at 1.1 times the paper's knee."""
        curve = paper.figure6("b" if batch else "a")[system]
        wanted = simulate_check.knee(curve)
        loads = {(system, batch): [round(wanted * factor) for factor in (0.9, 1.1)]}
        points = simulate.figure6(Shared.simulator, "b" if batch else "a", loads, quick=True)
        below, above = (simulated.point.p99_us for simulated in points)
        self.assertLess(below, simulate_check.KNEE_US, (system, batch, loads))
        self.assertGreater(above, simulate_check.KNEE_US, (system, batch, loads))

    def test_ghost_alone(self):
        self.around("ghost-shinjuku", False)

    def test_ghost_beside_a_batch_application(self):
        self.around("ghost-shinjuku", True)

    def test_cfs_alone(self):
        self.around("cfs", False)

    def test_cfs_beside_a_batch_application(self):
        self.around("cfs", True)

    def test_shinjuku(self):
        # The paper has the same points for both panels: no batch application runs beside it.
        self.around("shinjuku", False)
        self.around("shinjuku", True)

    def test_shares_of_the_batch_application(self):
        loads = {(system, True): list(SHARE_LOADS) for system in ("ghost-shinjuku", "cfs")}
        points = simulate.figure6(Shared.simulator, "c", loads, quick=True)
        checks = simulate_check.shares(points)
        self.assertEqual(len(checks), 2 * len(SHARE_LOADS))
        self.assertEqual([check for check in checks if not check.ok], [])
        self.assertGreater(checks[0].simulated, 0.85)

    def test_figure5_has_the_papers_shape(self):
        rates = {(rate.message_cost, rate.scheduled_cpus): rate.per_s for rate in
                 simulate.figure5(Shared.simulator, every=40) if rate.machine == "skylake_28c"}
        for cost in simulate.MESSAGE_COSTS:
            one, knee, dip, peak, last = (rates[cost, cpus] for cpus in (1, 27, 28, 54, 110))
            self.assertGreater(knee, 5 * one)
            self.assertLess(dip, 0.95 * knee)
            self.assertGreater(peak, 1.03 * dip)
            self.assertLess(last, 0.8 * peak)


class CheckTest(unittest.TestCase):
    """Curves that are the paper's own pass; others don't."""

    def simulated(self, panel, change=lambda point: point):
        return [simulate.Simulated(panel, change(point), None)
                for curve in paper.figure6(panel).values() for point in curve]

    def test_the_papers_own_curves_pass(self):
        points = [point for panel in "abc" for point in self.simulated(panel)]
        knees, shares = simulate_check.knees(points), simulate_check.shares(points)
        self.assertEqual([(check.panel, check.system, check.paper_per_s) for check in knees],
                         [("a", "shinjuku", 325e3), ("a", "ghost-shinjuku", 311e3), ("a", "cfs", 214e3),
                          ("b", "shinjuku", 325e3), ("b", "ghost-shinjuku", 305e3), ("b", "cfs", 198e3)])
        self.assertTrue(all(check.ok for check in knees + shares))
        self.assertEqual(len(shares), sum(len(curve) for curve in paper.figure6("c").values()))
        self.assertNotIn("MISS", "\n".join(simulate_check.lines(knees, shares)))

    def test_a_knee_that_is_too_far_is_a_miss(self):
        for factor, ok in ((0.89, False), (0.91, True), (1.09, True), (1.11, False)):
            points = self.simulated("a", lambda point, by=factor: Point(point.system, point.offered_per_s * by,
                                                                         p99_us=point.p99_us))
            self.assertEqual([check.ok for check in simulate_check.knees(points, "a")], [ok] * 3, factor)

    def test_a_curve_without_a_knee_is_a_miss(self):
        points = self.simulated("a", lambda point: Point(point.system, point.offered_per_s, p99_us=20))
        checks = simulate_check.knees(points, "a")
        self.assertEqual([check.ok for check in checks], [False] * 3)
        self.assertIn("MISS 6a cfs: p99 passes 1 ms at never, the paper's at 214 k requests/s",
                      simulate_check.lines(checks, []))

    def test_a_share_that_is_too_far_is_a_miss(self):
        def more(point):
            return Point(point.system, point.offered_per_s,
                         batch_share=point.batch_share + (0.101 if point.system == "cfs" else 0))
        points = self.simulated("c", more)
        checks = simulate_check.shares(points)
        self.assertEqual({check.system for check in checks if not check.ok}, {"cfs"})
        self.assertIn("MISS 6c cfs: 0 of ", "\n".join(simulate_check.lines([], checks)))


class ProgramTest(unittest.TestCase):
    def test_what_ghostsim_refuses_is_an_error_with_its_hint(self):
        with self.assertRaises(ExperimentError) as caught:
            Shared.simulator.run("nonsense\n", ())
        self.assertIn("stdin:1: there is no statement 'nonsense'", caught.exception.what)
        self.assertIn("requests", caught.exception.hint)

    def test_a_ghostsim_that_is_not_there(self):
        with simulate.Simulator("/nowhere/ghostsim") as simulator, self.assertRaises(ExperimentError) as caught:
            simulator.run("", ())
        self.assertEqual(caught.exception.what, "/nowhere/ghostsim does not start: No such file or directory")
        with self.assertRaises(ExperimentError) as caught:
            simulate.run("shinjuku", "/nowhere", "/nowhere/bin")
        self.assertEqual(caught.exception.what, "/nowhere/bin has no ghostsim")

    def test_what_the_paper_does_not_have(self):
        with self.assertRaises(ExperimentError) as caught:
            simulate.run("shenango", "/nowhere")
        self.assertEqual(caught.exception.code, 2)

    def test_results_are_written(self):
        with tempfile.TemporaryDirectory() as directory:
            loads = {("ghost-shinjuku", True): [100_000]}
            points = simulate.figure6(Shared.simulator, "bc", loads, quick=True)
            import simulate_report  # pylint: disable=import-outside-toplevel
            self.assertFalse(simulate_report.write(directory, "bc", points, []))  # a single point has no knee
            with open(os.path.join(directory, "report.html"), encoding="utf-8") as file:
                page = file.read()
            self.assertIn("MISS 6b ghost-shinjuku: p99 passes 1 ms at never", page)
            self.assertIn("<svg", page)
            self.assertEqual({"figure6b.png", "figure6c.svg"} - set(os.listdir(directory)), set())

    def test_usage(self):
        for words, wanted in ((("--panels", "x"), "--panels x"), (("--jobs", "0"), "--jobs 0"),
                              (("--jobs", "many"), "simulate: argument --jobs"),
                              (("--loud",), "simulate: unrecognized arguments: --loud"),
                              (("--output", "/proc/figures"), "simulate: cannot write to /proc/figures: ")):
            result = subprocess.run(["/usr/bin/python3", os.path.join(SCRIPTS, "simulate.py"), *words], text=True,
                                    capture_output=True, timeout=60, check=False)
            self.assertEqual(result.returncode, 2, result)
            self.assertIn(wanted, result.stderr)
            self.assertIn("hint: ", result.stderr)


if __name__ == "__main__":
    unittest.main()
