"""The models hold, and each of their mutants does not: what spin says of tests/model/*.pml."""
import os
import re
import shutil
import subprocess
import tempfile
import unittest

MODELS = os.path.join("tests", "model")
# Each mutant leaves out one step that the protocol needs; a model that lets it pass checks nothing.
MUTANTS = {
    "wakeup": ["LATE_BARRIER", "UNCHECKED_YIELD", "UNCHECKED_COMMIT", "NO_WAKE", "SILENT_PREEMPT"],
    "claim": ["CLAIM_WITHOUT_CAS", "ABORT_WITHOUT_CAS", "EARLY_OPEN", "OWNER_WITHOUT_CAS", "EARLY_OWNER_RELEASE"],
    "handoff": ["UNCHECKED_ASSOC", "NO_RETRY", "FLAGS_BEFORE_BARRIER", "KEEP_READY"],
}


class ModelTest(unittest.TestCase):

    def setUp(self):
        for program in ("spin", "gcc"):
            if not shutil.which(program):
                self.skipTest(f"{program} is not installed (util/setup.sh)")

    def errors(self, model, mutant=None):
        """What a full search finds: (errors without the LTL claim, errors with it)."""
        path = os.path.abspath(os.path.join(MODELS, model + ".pml"))
        with tempfile.TemporaryDirectory() as directory:
            define = [f"-D{mutant}"] if mutant else []
            subprocess.run(["spin", *define, "-a", path], cwd=directory, check=True, capture_output=True)
            counts = []
            # The first looks for deadlocks and at all assertions; the second for fair runs that never come to what the
            # claim wants, and no further than that.
            for options, arguments in ((["-DNOCLAIM"], []), ([], ["-a", "-f"])):
                subprocess.run(["gcc", "-w", *options, "-o", "pan", "pan.c"], cwd=directory, check=True)
                result = subprocess.run(["./pan", *arguments, "-m1000000"], cwd=directory, check=True,
                                        capture_output=True, text=True)
                self.assertNotIn("max search depth too small", result.stdout)
                counts.append(int(re.search(r"errors: (\d+)", result.stdout).group(1)))
            return tuple(counts)

    def test_models_hold(self):
        for model in MUTANTS:
            with self.subTest(model):
                self.assertEqual(self.errors(model), (0, 0))

    def test_mutants_fail(self):
        for model, mutants in MUTANTS.items():
            for mutant in mutants:
                with self.subTest(f"{model} {mutant}"):
                    self.assertGreater(sum(self.errors(model, mutant)), 0)


if __name__ == "__main__":
    unittest.main()
