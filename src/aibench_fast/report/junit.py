"""Expectations as JUnit XML, which CI systems show."""

from collections.abc import Iterable

from aibench_fast.results.result import Checked


def format_junit(runs: Iterable[tuple[str, Iterable[Checked]]]) -> str:
    """Return one suite; a test case for each expectation of each run, which is named."""
    from xml.etree import ElementTree  # most runs write none

    suite = ElementTree.Element("testsuite", name="aibench-fast")
    for run, checks in runs:
        for check in checks:
            case = ElementTree.SubElement(suite, "testcase", classname=run, name=check.expected)
            if not check.held:
                message = f"{check.expected}: {check.found}"
                ElementTree.SubElement(case, "failure", message=message)
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(len(suite.findall("*/failure"))))
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"
