"""Declares tests as sentences and runs them one after the other, each with its own time and its own world.

Knows nothing of XMPP and nothing of servers beyond handing one over.
"""

import asyncio
import contextlib
import sys
import time
import traceback

WAIT = 60  # seconds for one awaited event: generous, for a noisy machine; nothing waits for it to pass
TEST_SECONDS = 240  # for a whole test

TESTS = []


class World(contextlib.AsyncExitStack):
    """One test's surroundings: the server, and whatever is to be closed afterwards, whatever happens."""

    def __init__(self, server):
        super().__init__()
        self.server = server


def test(sentence, suite, needs=(), seconds=TEST_SECONDS):
    """Register `async def(world)` under its sentence; `needs` names what a server may lack."""
    def add(function):
        TESTS.append((suite, sentence, frozenset(needs), seconds, function))
        return function
    return add


class Mismatch(AssertionError):
    """What came is not what was to come."""


def expect(condition, *what):
    """An assertion that survives `python -O` and says what it saw."""
    if not condition:
        raise Mismatch(" ".join(str(part) for part in what))


async def eventually(condition, what, seconds=WAIT):
    """Wait until `condition()` is truthy and return it; for states that nothing announces."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Mismatch(f"not within {seconds} s: {what() if callable(what) else what}")
        await asyncio.sleep(0.05)


class Tally:
    """Counts results and prints a line for each."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.failures = []

    def ok(self, suite, sentence, seconds):
        self.passed += 1
        print(f"ok    {suite}: {sentence} ({seconds:.1f} s)", flush=True)

    def fail(self, suite, sentence, seconds, why):
        self.failed += 1
        self.failures.append(f"{suite}: {sentence}")
        print(f"FAIL  {suite}: {sentence} ({seconds:.1f} s)", flush=True)
        print("      " + why.rstrip().replace("\n", "\n      "), flush=True)

    def skip(self, suite, sentence, why):
        self.skipped += 1
        print(f"skip  {suite}: {sentence} ({why})", flush=True)

    def close(self):
        """Print the closing line and return the exit code; no test at all is a failure."""
        for failure in self.failures:
            print(f"failed: {failure}")
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        sys.stdout.flush()
        print(f"{self.passed} passed, {self.failed} failed{skipped}", flush=True)
        return 0 if self.failed == 0 and self.passed > 0 else 1


async def run(server, pattern, tally):
    """Run every registered test whose `suite: sentence` contains `pattern`, case aside."""
    for suite, sentence, needs, seconds, function in TESTS:
        if pattern.lower() not in f"{suite}: {sentence}".lower():
            continue
        missing = needs & server.lacks
        if missing:
            tally.skip(suite, sentence, "missing: " + ", ".join(sorted(missing)))
            continue
        began = time.monotonic()
        world = World(server)
        why = None
        try:
            if server.process is None or server.process.poll() is not None:
                # An earlier test left the server dead: that one has failed; this one gets its chance.
                with contextlib.suppress(Exception):
                    await server.stopped()
                await server.started()
            async with asyncio.timeout(seconds):
                await function(world)
        except Exception as error:  # a test may fail in any way; the next one runs all the same
            kind = type(error).__name__
            frame = traceback.extract_tb(error.__traceback__)[-1]
            why = f"{kind}: {error}\nat {frame.filename}:{frame.lineno}"
            for step in reversed(traceback.extract_tb(error.__traceback__)):
                if "suite_" in step.filename:
                    why += f"\nin {step.filename}:{step.lineno}: {step.line}"
                    break
        try:
            async with asyncio.timeout(60):
                await world.aclose()
        except Exception as error:
            why = (why or "") + f"\nwhile clearing up: {type(error).__name__}: {error}"
        if server.process is not None and server.process.poll() is not None:
            why = (why or "") + f"\nthe server died ({server.process.returncode}):\n{server.tail()}"
        elif why is not None:
            why += f"\nthe end of the server's log:\n{server.tail()}"
        took = time.monotonic() - began
        if why is None:
            tally.ok(suite, sentence, took)
        else:
            tally.fail(suite, sentence, took, why)
