#!/usr/bin/env python3
"""Makes stack/tcp/CONFORMANCE.md from what the script tests say they show.

A test calls rfc("9293", "3.10.7.4", "second: a RST at RCV.NXT ends the connection"); GoogleTest writes that into its XML
report, beside whether the test passed. So nothing stands in the table as done that no passing test shows.

    conformance.py build/tests/tcp/test-tcp            writes the table
    conformance.py build/tests/tcp/test-tcp --check    fails when it is not what is there
"""

import collections
import pathlib
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TABLE = ROOT / "stack" / "tcp" / "CONFORMANCE.md"
TITLES = {
    "1122": "Requirements for Internet hosts",
    "1191": "Path MTU discovery",
    "1337": "TIME-WAIT assassination hazards",
    "2018": "Selective acknowledgment options",
    "2525": "Known TCP implementation problems",
    "2883": "SACK of duplicates (DSACK)",
    "3042": "Limited transmit",
    "3168": "Explicit congestion notification",
    "3465": "Appropriate byte counting",
    "3522": "Eifel detection",
    "4015": "Undoing a reaction to nothing",
    "4821": "Packetization layer path MTU discovery",
    "4861": "Neighbor Discovery for IP version 6",
    "4987": "SYN flooding attacks and their mitigation",
    "5482": "User timeout",
    "5681": "Congestion control",
    "5682": "F-RTO",
    "5827": "Early retransmit",
    "5927": "ICMP attacks against TCP",
    "5961": "Robustness to blind in-window attacks",
    "6056": "Port randomization",
    "6093": "Urgent mechanism",
    "6191": "Reducing TIME-WAIT by timestamps",
    "6298": "Retransmission timer",
    "6528": "Initial sequence numbers",
    "6582": "NewReno",
    "6675": "Loss recovery with SACK",
    "6691": "TCP options and MSS",
    "6928": "Initial window of ten segments",
    "7323": "Window scaling, timestamps, PAWS",
    "7413": "TCP Fast Open",
    "7661": "Congestion window validation",
    "8257": "DCTCP",
    "8511": "Alternative back-off with ECN",
    "8985": "RACK-TLP",
    "9293": "Transmission Control Protocol",
    "9406": "HyStart++",
    "9438": "CUBIC",
    "9937": "Proportional rate reduction",
    "draft-ietf-ccwg-bbr": "BBR version 3",
}
HEAD = """# What of TCP's RFCs is shown by tests

Made by `tests/tcp/conformance.py` from the tests' own words (`rfc(...)` in tests/tcp); a rule is done when every test that
names it passes. Rules that no test names are not listed. A test with several forms counts once, and passes when all do.

On purpose otherwise, with Linux's values: a SYN is given up after 127 s by default, not three minutes (RFC 9293 MUST-23;
TCP_SYNCNT sets it), and the RTO is at least 200 ms, not a second (RFC 6298 (2.4)). Losses are found by RACK; by RFC 6675
only where that is configured.

"""


def natural(text):
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", text)]


def claims(report):
    """{(rfc, section, rule): {test: passed}}"""
    found = collections.defaultdict(dict)
    for case in xml.etree.ElementTree.parse(report).getroot().iter("testcase"):
        passed = case.find("failure") is None and case.get("status") == "run" and case.get("result") == "completed"
        suite = case.get("classname").split("/")[-1]
        name = case.get("name").split("/")[0]
        for one in case.iter("property"):
            if not re.fullmatch(r"rfc\d+", one.get("name")):
                continue
            number, section, rule = one.get("value").split("|", 2)
            tests = found[(number, section, rule)]
            test = f"{suite}.{name}"
            tests[test] = tests.get(test, True) and passed
    return found


def table(found):
    lines = [HEAD]
    done = sum(all(tests.values()) for tests in found.values())
    lines.append(f"{len(found)} rules, {done} done.\n")
    for number in sorted({key[0] for key in found}, key=lambda number: (number.isdigit(), natural(number)), reverse=True):
        name = f"RFC {number}" if number.isdigit() else number
        lines.append(f"\n## {name}: {TITLES.get(number, '')}\n\n| § | Rule | Test | Status |\n| --- | --- | --- | --- |\n")
        for key in sorted((key for key in found if key[0] == number), key=lambda key: (natural(key[1]), key[2])):
            tests = found[key]
            status = "done" if all(tests.values()) else "FAILS"
            rule = key[2].replace("|", "\\|").replace("<", "\\<")
            lines.append(f"| {key[1]} | {rule} | {', '.join(f'`{test}`' for test in sorted(tests))} | {status} |\n")
    return "".join(lines)


def main(arguments):
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as directory:
        report = pathlib.Path(directory) / "report.xml"
        subprocess.run([arguments[0], f"--gtest_output=xml:{report}", "--gtest_brief=1"], stdout=subprocess.DEVNULL,
                       check=False)
        text = table(claims(report))
    if "--check" in arguments:
        same = TABLE.exists() and TABLE.read_text() == text
        print("1..1")
        print("ok 1 - CONFORMANCE.md is what the tests show" if same else
              "not ok 1 - CONFORMANCE.md is out of date: run tests/tcp/conformance.py build/tests/tcp/test-tcp")
        return 0 if same else 1
    TABLE.write_text(text)
    print(next(line for line in text.splitlines() if line.endswith(" done.")))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
