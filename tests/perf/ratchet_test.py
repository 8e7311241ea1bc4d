"""No hot path costs more instructions than it did, within 5 %, and none allocates."""
import os
import unittest

from tests.perf import instructions, ratchet, table

BINARY = os.path.join(os.getcwd(), "tests/perf/hot_paths")
LIMITS = "tests/perf/limits.json"


class RuleTest(unittest.TestCase):
    """What the ratchet says of figures."""

    def complaints(self, limit, now, allocations=0, name="BM_A"):
        return ratchet.complaints({"BM_A": limit}, {name: {"instructions": now, "allocations": allocations}})

    def test_within_the_limit(self):
        for now in (100, 105, 86):
            self.assertEqual(self.complaints(100, now), ([], []), now)

    def test_small_figures_may_grow_by_one(self):
        self.assertEqual(self.complaints(10, 11.5), ([], []))

    def test_growth_fails(self):
        self.assertEqual(self.complaints(100, 106), (["BM_A: 106.0 instructions, 100.0 before: +6 %"], []))

    def test_shrinkage_is_said(self):
        self.assertEqual(self.complaints(100, 80), ([], ["BM_A: 80.0 instructions, 100.0 before"]))

    def test_allocations_fail(self):
        self.assertEqual(self.complaints(100, 100, allocations=0.5), (["BM_A: 0.5 allocations per operation"], []))

    def test_unknown_and_missing(self):
        wrong, _ = self.complaints(100, 100, name="BM_B")
        self.assertEqual(len(wrong), 2)


class TableTest(unittest.TestCase):

    def test_rows(self):
        counts = {"BM_PeekConsume": {"instructions": 20.0, "allocations": 0.0},
                  "BM_GroupCommit/C:256/committed:1": {"instructions": 130.0, "allocations": 0.0}}
        text = table.markdown(table.results(counts, {"BM_PeekConsume": 1.25}))
        self.assertIn("|  | 20 | 1.2 | 0 | 25 | 38 / 3 |", text)
        self.assertIn("| C = 256, committed = 1 | 130 | - | 0 | 120 **missed** | 568 / 43 |", text)

    def test_a_benchmark_without_a_row(self):
        self.assertRaises(KeyError, table.results, {"BM_New/N:10": {"instructions": 1, "allocations": 0}}, {})


class HotPathsTest(unittest.TestCase):

    def test_instructions_and_allocations(self):
        try:
            counts = instructions.count(BINARY, ratchet.FILTER)
        except instructions.Failed as failed:
            self.skipTest("%s (hint: %s)" % failed.args)
        if not all(counted["measurable"] for counted in counts.values()):
            self.skipTest("not an optimised build (-c opt)")
        table.results(counts, {})  # all have a row
        wrong, lower = ratchet.complaints(ratchet.read(LIMITS), counts, table.MAY_ALLOCATE)
        for line in lower:
            print("cheaper than its limit: " + line + "; tests/perf/run.sh --update")
        self.assertEqual(wrong, [], "\n".join(wrong))


if __name__ == "__main__":
    unittest.main()
