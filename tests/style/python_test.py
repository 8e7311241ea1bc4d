#!/usr/bin/python3
"""Runs a file of unittest cases and reports them one by one in $XML_OUTPUT_FILE, as Bazel's py_test does not.

Usage: python_test.py FILE [unittest argument]...     (from the workspace root)
"""
import importlib.util
import os
import sys
import time
import unittest
import xml.etree.ElementTree as ElementTree


class XmlResult(unittest.TextTestResult):
    """A result that also keeps a <testcase> for each case."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.suite = ElementTree.Element("testsuite", name="python")

    def startTest(self, test):
        super().startTest(test)
        class_name, _, name = test.id().rpartition(".")
        self.case = ElementTree.SubElement(self.suite, "testcase", classname=class_name, name=name, status="run")
        self.started = time.monotonic()

    def stopTest(self, test):
        self.case.set("time", "%.3f" % (time.monotonic() - self.started))
        super().stopTest(test)

    def add(self, tag, message):
        ElementTree.SubElement(self.case, tag, message=message)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.add("failure", str(err[1]))

    def addError(self, test, err):
        super().addError(test, err)
        self.add("error", str(err[1]))

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.add("failure", "%s: %s" % (subtest, err[1]))

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.add("skipped", reason)


def main(argv):
    path = argv[0]
    # So that `from util import x` finds the workspace's modules.
    sys.path.insert(0, os.getcwd())
    spec = importlib.util.spec_from_file_location(os.path.basename(path).partition(".")[0], path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    runner = unittest.TextTestRunner(resultclass=XmlResult, verbosity=2)
    program = unittest.main(module=module, argv=[path] + argv[1:], testRunner=runner, exit=False)
    report = os.environ.get("XML_OUTPUT_FILE")
    if report:
        suites = ElementTree.Element("testsuites")
        suites.append(program.result.suite)
        ElementTree.ElementTree(suites).write(report, encoding="utf-8", xml_declaration=True)
    return 0 if program.result.wasSuccessful() and program.result.testsRun else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
