"""Verdicts of rule tests as JUnit's XML, which build servers show."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from schemas.printable import printable
from streams.craft.rule_tests import TestVerdict


def junit(verdicts: Sequence[TestVerdict]) -> bytes:
    """One suite a file, one case a test."""
    root = ElementTree.Element("testsuites", {"name": "grayline rules test"} | _counts(verdicts))
    for file in dict.fromkeys(verdict.test.file for verdict in verdicts):
        mine = [verdict for verdict in verdicts if verdict.test.file == file]
        suite = ElementTree.SubElement(root, "testsuite", {"name": printable(file)} | _counts(mine))
        for verdict in mine:
            case = ElementTree.SubElement(
                suite,
                "testcase",
                name=printable(verdict.test.name),
                classname=printable(Path(file).name),
                file=printable(file),
                line=str(verdict.test.line),
            )
            if verdict.failures:
                lines = [printable(f"{file}:{failure.line}: {failure.message}") for failure in verdict.failures]
                ElementTree.SubElement(case, "failure", message=lines[0]).text = "\n".join(lines)
    ElementTree.indent(root)
    written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


def _counts(verdicts: Sequence[TestVerdict]) -> dict[str, str]:
    failed = sum(bool(verdict.failures) for verdict in verdicts)
    return {"tests": str(len(verdicts)), "failures": str(failed), "errors": "0"}
