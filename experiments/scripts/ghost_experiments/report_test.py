"""Plots and the page, from made-up results."""
import html.parser
import os
import re
import tempfile
import unittest
import xml.etree.ElementTree as ElementTree

from experiments.scripts.ghost_experiments import paper, plots, report, samples
from experiments.scripts.ghost_experiments.experiments import EXPERIMENTS

CONFIG = {
    "machine": {"cpu_model": "A <fast> one", "linux": "6.18", "linux_scheduler": "EEVDF", "settings": []},
    "plan_text": {"workers": "1", "notes": ["workers run on 1 of 6 CPUs"]},
    "version": "abc", "ghostd": True, "complete": True,
}


def records():
    return [samples.record(system, load, achieved, share)
            for system in ("ghost-shinjuku", "cfs")
            for load, achieved, share in ((1000, 1000, 0.8), (5000, 4990, 0.4), (9000, 7000, 0.1))]


class Page(html.parser.HTMLParser):
    """Its text, its figures, and whatever it would fetch."""

    def __init__(self, text):
        super().__init__()
        self.text, self.figures, self.fetched = "", [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if tag == "figure":
            self.figures.append(attributes["id"])
        self.fetched += [value for name, value in attrs
                         if name in ("src", "href", "xlink:href") and value and not value.startswith("#")]

    def handle_data(self, data):
        self.text += data


class ReportTest(unittest.TestCase):
    NAME = "shinjuku_shenango"

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.place = cls.directory.name
        cls.drawn = plots.all_plots(cls.place, EXPERIMENTS[cls.NAME], records(), 28_612, "EEVDF")

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()

    def page(self, config=None, results=None):
        results = records() if results is None else results
        path = report.write(self.place, EXPERIMENTS[self.NAME], {**CONFIG, **(config or {})}, results, self.drawn)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        return text, Page(text)

    def test_all_figures_are_inside_and_nothing_is_fetched(self):
        text, page = self.page()
        self.assertEqual(page.figures, ["p99", "get_p99", "p50", "achieved", "batch_share", "cost"])
        self.assertEqual(text.count("<svg"), 6)
        self.assertEqual(page.fetched, [])
        self.assertEqual(re.findall(r"url\((?!#)", text), [])
        for name in page.figures:
            self.assertGreater(os.path.getsize(os.path.join(self.place, name + ".png")), 5000)
            ElementTree.parse(os.path.join(self.place, name + ".svg"))

    def test_ids_of_the_figures_do_not_clash(self):
        text, _ = self.page()
        clip_paths = re.findall(r'<clipPath id="([^"]+)"', text)
        self.assertGreater(len(clip_paths), 5)
        self.assertEqual(len(set(clip_paths)), len(clip_paths))

    def test_every_system_is_a_curve_and_the_papers_are_behind(self):
        with open(os.path.join(self.place, "p99.svg"), encoding="utf-8") as file:
            svg = file.read()
        for label in ("Linux (EEVDF)", "ghOSt Shinjuku", "paper: CFS-Shinjuku", "paper: ghOSt-Shinjuku"):
            self.assertIn(label, svg)
        self.assertIn("stroke-dasharray", svg)

    def test_it_says_what_is_in_the_numbers(self):
        _, page = self.page()
        self.assertIn("Every hand-over from one request to the next goes through ghostd", page.text)
        self.assertIn("Scaled down for this machine: workers run on 1 of 6 CPUs.", page.text)
        self.assertIn("A <fast> one", page.text)
        _, page = self.page(config={"ghostd": False})
        self.assertIn("A ghost kernel served the policies", page.text)
        _, page = self.page(results=[record for record in records() if record["system"] == "cfs"])
        self.assertNotIn("ghostd, an ordinary process", page.text)
        _, page = self.page(config={"complete": False})
        self.assertIn("some points are missing", page.text)

    def test_the_highest_load_kept_up_with(self):
        self.assertEqual(report.highest_load(records(), "cfs"), 5000)
        self.assertIsNone(report.highest_load([samples.record("cfs", 1000, 1)], "cfs"))

    def test_the_summary_has_what_ghostd_and_the_agent_cost(self):
        text, _ = self.page()
        self.assertIn("<td>ghOSt Shinjuku</td><td>5,000</td><td>40.0</td><td>200.0</td><td>1,000</td>"
                      "<td>8.0 / 20.0</td>", text)
        self.assertIn("<td>Linux (EEVDF)</td><td>5,000</td><td>-</td><td>-</td>", text)

    def test_requests_that_were_left_over_are_told(self):
        text, page = self.page()
        self.assertIn("<td>20,000 (half of them for 5,000 us)</td>", text)
        self.assertIn("<td>0</td>", text)
        self.assertIn("They are in no latency", page.text)

    def test_doubts(self):
        _, page = self.page()
        self.assertIn("None: percentiles are in order", page.text)
        late = records()
        late[0]["rocksdb"]["generator"]["lateness_ns"]["p99"] = 10**7
        late[1]["sanity"] = ["all: stages count different numbers"]
        _, page = self.page(results=late)
        self.assertIn("ghost-shinjuku at 1000/s: the load generator itself was late", page.text)
        self.assertIn("ghost-shinjuku at 5000/s: all: stages count different numbers", page.text)

    def test_costs_are_a_plot_and_a_table(self):
        text, page = self.page()
        self.assertIn("us of CPU time per request", page.text)
        self.assertIn("<td>ghostd</td><td>0.200</td><td>200.0</td>", text)


class PaperTest(unittest.TestCase):
    def test_figure_6(self):
        panels = {panel: paper.figure6(panel) for panel in "abc"}
        for curves in panels.values():
            self.assertEqual(set(curves), {"shinjuku", "ghost-shinjuku", "cfs"})
        beyond = next(point for point in panels["a"]["ghost-shinjuku"] if (point.p99_us or 0) > 1000)
        self.assertAlmostEqual(beyond.offered_per_s, 311_000, delta=3000)
        self.assertTrue(all(0 <= (point.batch_share or 0) <= 1 for curve in panels["c"].values() for point in curve))

    def test_figure_5(self):
        curves = paper.figure5()
        self.assertEqual({name: len(curve) for name, curve in curves.items()}, {"skylake_28c": 110, "haswell_18c": 70})
        self.assertAlmostEqual(max(rate for _, rate in curves["haswell_18c"]), 2.52e6, delta=2e4)


if __name__ == "__main__":
    unittest.main()
