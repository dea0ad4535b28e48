"""A PostgreSQL of one's own, in a folder of its own and on a Unix socket, with the rows that a reader of the gateway sees."""

import os
import pathlib
import pwd
import shutil
import subprocess
import tempfile

from mesh import PASSWORD, POSTGRES

HOST, PORT = POSTGRES.split(":")


def binaries() -> pathlib.Path:
    """Where Debian's newest PostgreSQL is; its programs are not in PATH."""
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise SystemExit("not kept: a PostgreSQL server is installed (Debian: postgresql)")
    return found[-1].parent


class Server:
    """A server that ends with its `with` block."""

    def __enter__(self) -> "Server":
        self.bin = binaries()
        self.folder = tempfile.mkdtemp(prefix="meshgate-postgres-")
        # PostgreSQL does not run as root.
        self.user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self.run_as = ["runuser", "-u", self.user, "--"] if os.geteuid() == 0 else []
        if self.run_as:
            shutil.chown(self.folder, self.user)
        self._run("initdb", "-D", f"{self.folder}/data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        options = f"-c listen_addresses='' -c unix_socket_directories={self.folder} -c fsync=off -c timezone=UTC"
        self._run("pg_ctl", "-D", f"{self.folder}/data", "-l", f"{self.folder}/log", "-o", options, "-w", "start")
        return self

    def __exit__(self, *_) -> None:
        self._run("pg_ctl", "-D", f"{self.folder}/data", "-m", "immediate", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run([*self.run_as, str(self.bin / program), *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd="/", timeout=60)
        if done.returncode != 0:
            raise SystemExit(f"not kept: {program} runs: {done.stderr}")

    def psql(self, text: str, *options: str) -> str:
        return psql(["-h", self.folder, "-U", "postgres", "-d", "postgres", *options], text)

    def version(self) -> str:
        return self.psql("SHOW server_version").split()[0]

    def load(self, user: str, tables: list[str]) -> None:
        """Tables of the same names and types, with the rows that `user` sees in the gateway."""
        for table in tables:
            schema, name = table.split(".")
            columns = gateway(
                user,
                f"SELECT string_agg(quote_ident(attname) || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0",
            )
            self.psql(f"CREATE SCHEMA IF NOT EXISTS {schema}; CREATE TABLE {schema}.{name} ({columns.strip()})")
            rows = gateway(user, f"COPY (SELECT * FROM {table}) TO STDOUT")
            self.psql(f"COPY {table} FROM STDIN;\n{rows}\\.\n")


def psql(login: list[str], text: str) -> str:
    """What psql prints, errors included: `ERROR:  <SQLSTATE>`."""
    done = subprocess.run(["psql", "-X", "-q", "-At", "-v", "VERBOSITY=sqlstate", "-v", "ON_ERROR_STOP=1", *login], input=text, capture_output=True, text=True, timeout=120, env={**os.environ, "PGPASSWORD": PASSWORD, "PGOPTIONS": "-c client_min_messages=error"})
    if done.returncode != 0:
        found = [line for line in done.stderr.splitlines() if "ERROR" in line]
        return "ERROR " + (found[0].rsplit(" ", 1)[-1] if found else done.stderr)
    return done.stdout


def gateway(user: str, text: str) -> str:
    """What psql prints for the gateway."""
    return psql(["-h", HOST, "-p", PORT, "-U", user, "-d", "mesh"], text)
