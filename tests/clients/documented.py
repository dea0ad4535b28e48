"""The lines of docs/access.md work as printed: ask, approve, read, check, revoke."""

import os
import pathlib
import re
import subprocess

from mesh import check

text = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "access.md").read_text()
script = "\n".join(re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
postgres, http = os.environ["MESHGATE_POSTGRES"], os.environ["MESHGATE_HTTP"]
script = script.replace("127.0.0.1:8080", http).replace("-p 5433", f"-p {postgres.rsplit(':', 1)[1]}")
script += "\nPGPASSWORD=demo psql -h 127.0.0.1 -p {} -U newcomer -d mesh -c 'SELECT 1 FROM customer.customer_master' 2>&1 || true\n".format(
    postgres.rsplit(":", 1)[1]
)
done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True, timeout=120)
said = done.stdout + done.stderr
check(done.returncode == 0 and '"error"' not in said, f"the lines work: {said}")
check('"status":"pending"' in said and '"granted_by":"customer_steward"' in said, f"a request is granted: {said}")
check(re.search(r"customer_master\s*\|\s*live\s*\|\s*customer_steward", said), f"and listed: {said}")
check(said.count('"decision":"permit"') == 2, f"the checks say so: {said}")
check("permission denied for table customer_master" in said, f"and it is over once revoked: {said}")
print("ok")
