"""The hot paths cost no more instructions than agreed, and allocate nothing."""
import os
import shutil
import unittest

from util import instructions

# Instructions per operation, those of the pretended kernel (BM_EmptyKernelCommit: 38) included.
LIMITS = {
    "lib/hot_path_benchmark": {
        "BM_PeekConsume": 25,
        "BM_DrainPerMessage/1000": 60,
        "BM_RunRequestOpen": 40,
        "BM_CommitOneCpu": 60,
        "BM_GroupCommit/8/1": 120,
    },
    "schedulers/fifo/per_cpu/fifo_benchmark": {
        "BM_FifoTurn/2": 350,
        "BM_FifoTurn/1000": 350,
    },
}


class HotPathTest(unittest.TestCase):

    def check(self, binary):
        if not shutil.which("valgrind"):
            self.skipTest("valgrind is not installed (util/setup.sh)")
        for name, limit in LIMITS[binary].items():
            with self.subTest(name):
                result = instructions.measure(os.path.join(os.getcwd(), binary), name + "/manual_time")
                if not result["measurable"]:
                    self.skipTest("not an optimised build (-c opt)")
                # g++ 12's figure; another compiler's may differ a little.
                self.assertLessEqual(result["instructions"], limit * 1.1)
                self.assertEqual(result["allocations"], 0)

    def test_framework(self):
        self.check("lib/hot_path_benchmark")

    def test_fifo(self):
        self.check("schedulers/fifo/per_cpu/fifo_benchmark")


if __name__ == "__main__":
    unittest.main()
