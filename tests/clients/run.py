#!/usr/bin/env python3
"""Runs real clients against a demo gateway: python tests/clients/run.py --binary target/debug/meshgate [script ...]

Starts `meshgate demo` on free ports with a small mesh, runs every script next to this file (or those named), and ends the gateway
with SIGTERM, which must drain it and leave with 0. Exits with 1 where anything failed.

Scripts say with a line of JSON which client passed. Of a run of all of them docs/clients.md is made: with MESHGATE_UPDATE_DOCS=1 it is
written, otherwise it must be the same but for versions.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
SCRIPTS = [
    "psql.sh",
    "same_as_postgres.py",
    "psycopg3.py",
    "psycopg2_reads.py",
    "asyncpg_pool.py",
    "sqlalchemy_reflect.py",
    "frames.py",
    "node_pg.mjs",
    "Jdbc.java",
    "odbc.py",
    "fdw.py",
    "pgcli_prompt.py",
    "models_with_dbt.py",
    "superset_chart.py",
    "duckdb_attach.py",
    "adbc_postgresql.py",
    "adbc_flightsql.py",
    "pyarrow_flight.py",
    "two_doors.py",
    "printed.py",
    "documented.py",
    "published_ledger.py",
    "focus_bill.py",
    "examples.py",
]
# What runs a script.
RUNNERS = {
    ".py": [sys.executable],
    ".sh": ["bash"],
    ".mjs": ["node"],
    ".java": ["java", "-cp", "/usr/share/java/postgresql.jar"],
}
# Scripts with an environment of their own, and what names its python.
OF_THEIR_OWN = {"superset_chart.py": "MESHGATE_SUPERSET", "focus_bill.py": "MESHGATE_FOCUS"}
TABLE = HERE.parent.parent / "docs" / "clients.md"
DOORS = {"postgres": "MESHGATE_POSTGRES", "flight": "MESHGATE_FLIGHT", "http": "MESHGATE_HTTP"}
READY_WITHIN = 180
SCRIPT_WITHIN = 180
DRAIN_WITHIN = 30


class Demo:
    """A demo gateway in a folder of its own."""

    def __init__(self, binary: str, scale: str):
        self.folder = tempfile.mkdtemp(prefix="meshgate-clients-")
        self.log = open(os.path.join(self.folder, "gateway.log"), "wb")
        arguments = ["demo", "--dir", os.path.join(self.folder, "demo"), "--scale", scale]
        for door in DOORS:
            arguments += [f"--{door}", "127.0.0.1:0"]
        self.process = subprocess.Popen([binary, *arguments], stdout=subprocess.PIPE, stderr=self.log, text=True)
        self.addresses: dict[str, str] = {}
        self.lines: list[str] = []
        self.ready = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            found = re.search(r"(127\.0\.0\.1:\d+)", line)
            for door in DOORS:
                if found and door not in self.addresses and line.lower().lstrip().startswith(door):
                    self.addresses[door] = found.group(1)
            # The last thing that the demo prints is the line for the cost report.
            if len(self.addresses) == len(DOORS) and "monthly_costs" in line:
                self.ready.set()
        self.ready.set()

    def environment(self) -> dict[str, str]:
        if not self.ready.wait(READY_WITHIN) or len(self.addresses) != len(DOORS):
            raise SystemExit(f"the demo did not say where it listens; it printed:\n{chr(10).join(self.lines)}\n{self.errors()}")
        addresses = {DOORS[door]: address for door, address in self.addresses.items()}
        # So that the scripts' own `python3` has the packages that this one has.
        addresses["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])
        return {**os.environ, **addresses, "MESHGATE_PRINTED": "\n".join(self.lines), "PYTHONPATH": str(HERE)}

    def errors(self) -> str:
        self.log.flush()
        return pathlib.Path(self.log.name).read_text(errors="replace")[-4000:]

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(DRAIN_WITHIN)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def run(script: str, environment: dict[str, str], clients: list[dict[str, str]]) -> bool:
    path = HERE / script
    started = time.monotonic()
    try:
        command = [*RUNNERS[path.suffix], str(path)]
        if script in OF_THEIR_OWN:
            variable = OF_THEIR_OWN[script]
            command[0] = environment.get(variable, f"the python of {script}'s environment ({variable})")
        done = subprocess.run(command, env=environment, cwd=HERE.parent.parent, timeout=SCRIPT_WITHIN, capture_output=True, text=True)
        passed, output = done.returncode == 0, done.stdout + done.stderr
        clients += [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"client"')]
    except subprocess.TimeoutExpired as late:
        passed, output = False, f"{late.stdout or ''}{late.stderr or ''}\ntook longer than {SCRIPT_WITHIN} s"
    except FileNotFoundError as missing:
        passed, output = False, f"{missing.filename} is not installed"
    print(f"{'ok    ' if passed else 'FAILED'} {script} ({time.monotonic() - started:.1f} s)", flush=True)
    if not passed:
        print("\n".join(f"       {line}" for line in output.splitlines()[-60:]), flush=True)
    return passed


def table(clients: list[dict[str, str]]) -> str:
    rows = "\n".join(f"| {c['client']} | {c['version']} | {c['exercised']} | {c['cannot']} |" for c in clients)
    return f"""# Clients

<!-- Generated by the suite: MESHGATE_UPDATE_DOCS=1 tests/run clients brings it up to date. -->

Real clients, each run by `tests/run` against a demo gateway; the scripts are in `tests/clients/`. Each checks answers: counts, types, NULLs,
parameters, reading in slices, the SQLSTATEs of errors. A client is in the table when all of its checks passed. The versions are those of the
run that wrote the table; newer ones are tried by every run.

| client | version | what is exercised | what it cannot have here |
|---|---|---|---|
{rows}
"""


def same_table(made: str, kept: str) -> bool:
    """Whether two tables differ in nothing but versions."""

    def plain(text: str) -> list[list[str]]:
        rows = [line.split(" | ") for line in text.splitlines()]
        return [[*row[:1], *row[2:]] if len(row) == 4 else row for row in rows]

    return plain(made) == plain(kept)


def check_table(clients: list[dict[str, str]]) -> bool:
    made = table(clients)
    if os.environ.get("MESHGATE_UPDATE_DOCS"):
        TABLE.write_text(made)
    kept = TABLE.read_text() if TABLE.exists() else ""
    if not same_table(made, kept):
        print("docs/clients.md is not what this run found: MESHGATE_UPDATE_DOCS=1 tests/run clients brings it up to date")
        return False
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", required=True, help="the meshgate binary")
    parser.add_argument("--scale", default="0.01", help="size of the mesh (default 0.01)")
    parser.add_argument("scripts", nargs="*", default=SCRIPTS)
    arguments = parser.parse_args()
    demo = Demo(os.path.abspath(arguments.binary), arguments.scale)
    failed = []
    try:
        environment = demo.environment()
        environment["MESHGATE_BINARY"] = os.path.abspath(arguments.binary)
        clients: list[dict[str, str]] = []
        failed = [script for script in arguments.scripts if not run(script, environment, clients)]
        if arguments.scripts == SCRIPTS and not failed and not check_table(clients):
            failed = ["docs/clients.md"]
    finally:
        code = demo.stop()
        if code != 0:
            failed.append(f"draining (exit code {code})")
        if failed:
            print(demo.errors())
        demo.log.close()
        shutil.rmtree(demo.folder, ignore_errors=True)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
