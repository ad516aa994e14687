"""What pytest needs to run the Azure SDK's own tests here: fixtures, short naps, outcomes in a file.

The file's name is in LOCKYARD_OUTCOMES; each line is a test, its outcome and, in short, why.
"""

import asyncio
import json
import os
import sys
import time

import pytest

# The tests nap to be gentle with a service that throttles, and so that a key's second of change
# differs from its second of making. Only the latter has a meaning here.
NAP_MAX = 1.05
GENTLE = ("_create_rsa_key", "_create_ec_key", "_poll_until_exception")
_sleep, _async_sleep = time.sleep, asyncio.sleep


def _nap(seconds):
    if sys._getframe(1).f_code.co_name not in GENTLE:
        _sleep(min(seconds, NAP_MAX))


async def _async_nap(seconds, *result):
    frame = sys._getframe(1)
    gentle = frame.f_code.co_name in GENTLE
    return await _async_sleep(0 if gentle else min(seconds, NAP_MAX), *result)


@pytest.fixture(scope="session", autouse=True)
def test_proxy():
    """The SDK's tests ask for the recorder by this name."""
    time.sleep, asyncio.sleep = _nap, _async_nap
    yield
    time.sleep, asyncio.sleep = _sleep, _async_sleep


def pytest_collection_modifyitems(items):
    """Lets those run that are skipped for a fault of the service."""
    for item in items:
        item.own_markers = [marker for marker in item.own_markers if not (
            marker.name == "skip" and "service issue" in str(marker.args))]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.when == "call" or report.outcome != "passed":
        why = ""
        if report.skipped and isinstance(report.longrepr, tuple):
            why = report.longrepr[2]
        elif report.failed:
            why = getattr(getattr(report.longrepr, "reprcrash", None), "message", "")
            why = str(why).splitlines()[0] if why else str(report.longrepr)[-200:]
        test = item.path.name + report.nodeid[report.nodeid.index("::"):]
        line = {"test": test, "outcome": report.outcome, "why": why}
        with open(os.environ["LOCKYARD_OUTCOMES"], "a") as outcomes:
            outcomes.write(json.dumps(line) + "\n")
