"""The Azure SDK's own tests of keys, live against our vaults, compared with what our page says.

Arguments: an instance's `bootstrap.json`, the folder with the unpacked source package, our page.
The page lists tests by name, `*` standing for anything, and says of each whether it passes; the
longest name that fits a test counts. Fails if a test does otherwise, if the page says nothing of
it, or if a line of the page fits no test. Prints how many passed.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from house import House

ROW = re.compile(r"^\| `([^`]+)` \| (passes|fails|skips) \|")
# Those that talk to a vault; the others try the SDK's inside alone.
MODULES = (
    "test_key_client.py", "test_keys_async.py", "test_crypto_client.py",
    "test_crypto_client_async.py", "test_examples_crypto.py", "test_examples_crypto_async.py",
    "test_samples_keys.py", "test_samples_keys_async.py", "test_parse_id.py",
    "test_challenge_auth.py::TestChallengeAuth", "test_challenge_auth_async.py::TestChallengeAuth",
)
OUTCOMES = {"passes": "passed", "fails": "failed", "skips": "skipped"}


def read(page):
    """The page's lines: a name, how to find it, and the outcome that it promises."""
    rows = []
    for line in page.read_text().splitlines():
        if found := ROW.match(line):
            name, outcome = found.groups()
            pattern = re.compile(".*".join(re.escape(part) for part in name.split("*")))
            rows.append((name, pattern, OUTCOMES[outcome]))
    assert rows, "the page lists nothing"
    return rows


def run(tests, outcomes, arguments):
    here = Path(__file__).parent
    house = House()
    environment = {
        **os.environ,
        "PYTHONPATH": str(here), "PYTHONDONTWRITEBYTECODE": "1",
        "LOCKYARD_BOOTSTRAP": sys.argv[1], "LOCKYARD_OUTCOMES": str(outcomes),
        "AZURE_KEYVAULT_URL": house.make_vault("sdk-tests"),
        # What the tests call a managed HSM is a vault with keys of the -HSM kinds to us.
        "AZURE_MANAGEDHSM_URL": house.make_vault("sdk-tests-hsm"),
        "KEYVAULT_SKU": "premium",
        "AZURE_KEYVAULT_ATTESTATION_URL": "https://attestation.invalid",
        "KEYVAULT_TENANT_ID": house.where["tenantId"],
        "KEYVAULT_CLIENT_ID": house.where["clientId"],
        "KEYVAULT_CLIENT_SECRET": house.where["clientSecret"],
    }
    command = [sys.executable, "-m", "pytest", "-p", "live_plugin", "-p", "no:cacheprovider", "-q",
               "--tb=short", "-W", "ignore", "-o", "asyncio_mode=auto", *arguments, *(str(tests / module) for module in MODULES)]
    return subprocess.run(command, env=environment, cwd=outcomes.parent, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def main():
    package, page = Path(sys.argv[2]), Path(sys.argv[3])
    tests = next(package.glob("azure_keyvault_keys-*/tests"))
    rows = read(page)
    with tempfile.TemporaryDirectory() as folder:
        outcomes = Path(folder) / "outcomes"
        ran = run(tests, outcomes, sys.argv[4:])
        lines = outcomes.read_text().splitlines() if outcomes.exists() else []
    told = {line["test"]: line for line in map(json.loads, lines)}
    wrong, used = [], set()
    for test, line in sorted(told.items()):
        fitting = [row for row in rows if row[1].fullmatch(test)]
        if not fitting:
            wrong.append(f"{test} {line['outcome']} and is not on the page: {line['why']}")
            continue
        row = max(fitting, key=lambda row: len(row[0]))
        used.add(row[0])
        if line["outcome"] != row[2]:
            wrong.append(f"{test} {line['outcome']}, not {row[2]}: {line['why']}")
    if not sys.argv[4:]:
        wrong += [f"no test is called {name}" for name, _, _ in rows if name not in used]
    count = {word: sum(line["outcome"] == word for line in told.values())
             for word in OUTCOMES.values()}
    print(json.dumps(count))
    if wrong or not told:
        print(*wrong, sep="\n")
        print(ran.stdout[-20000:])
        sys.exit(1)


main()
