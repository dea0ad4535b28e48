"""The examples run as they stand, and do what they say."""

import os
import pathlib
import subprocess
import sys
import tempfile

from mesh import FLIGHT, POSTGRES, check

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"


def run(example: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, str(EXAMPLES / example), *arguments], capture_output=True, text=True, timeout=120)
    check(done.returncode == 0, f"{example} runs: {done.stdout}{done.stderr}")
    return done.stdout


with tempfile.TemporaryDirectory() as folder:
    chart = os.path.join(folder, "fraud.png")
    printed = run("fraud_notebook.py", "--flight", FLIGHT, "--chart", chart)
    check(pathlib.Path(chart).read_bytes().startswith(b"\x89PNG"), "the notebook draws a chart")
    check(os.path.getsize(chart) > 10_000, "with something on it")
    check("claims" in printed, f"and prints its findings: {printed}")

printed = run("cost_report.py", "--postgres", POSTGRES)
check("claims" in printed and "USD" in printed, f"the cost report names who pays, in what: {printed}")
print("ok")
