"""Starts the server under test, runs the suites against it, stops it, prints the closing line."""

import argparse
import asyncio
import logging
import pathlib
import shutil
import signal
import sys
import tempfile
import importlib

import harness
import server as servers

SUITES = ("suite_differential", "suite_mainjob", "suite_day", "suite_slixmpp", "suite_profanity", "suite_xmppjs",
          "suite_others", "suite_zlib")
OPTIONAL_TOOLS = ("go-sendxmpp",)  # their tests are skipped, and say so, where they are missing


def main():
    options = argparse.ArgumentParser(prog="tests/interop/run", description=__doc__)
    options.add_argument("filter", nargs="?", default="", help="run only tests whose `suite: sentence` contains this")
    options.add_argument("--server", default="stonechat", choices=("stonechat", "prosody"))
    options.add_argument("--binary", help="another stonechat than target/debug/stonechat")
    options.add_argument("--list", action="store_true", help="print the tests and do nothing")
    options.add_argument("--keep", action="store_true", help="keep the server's directory and every client's log")
    chosen = options.parse_args()

    for suite in SUITES:
        importlib.import_module(suite)
    if chosen.list:
        for suite, sentence, *_ in harness.TESTS:
            print(f"{suite}: {sentence}")
        return 0

    # A signal to this script must still end the server and the terminals.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    work = pathlib.Path(tempfile.mkdtemp(prefix="stonechat-interop."))
    if chosen.keep:
        handler = logging.FileHandler(work / "clients.log")
        handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(message)s"))
        for name in ("slixmpp", "asyncio"):
            logging.getLogger(name).addHandler(handler)
            logging.getLogger(name).setLevel(logging.DEBUG)
    else:
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    tally = harness.Tally()
    server = None
    try:
        server = servers.make(chosen.server, work / "server", chosen.binary)
        server.lacks |= {tool for tool in OPTIONAL_TOOLS if not shutil.which(tool)}
        server.start()
        asyncio.run(harness.run(server, chosen.filter, tally))
        server.stop()
    except servers.ServerError as error:
        tally.fail("server", f"{chosen.server} starts and stops", 0, str(error))
    finally:
        if server is not None and server.process is not None:
            server.process.kill()
            server.process.wait()
        if chosen.keep:
            print(f"kept: {work}")
        elif tally.failed:
            kept = pathlib.Path(tempfile.gettempdir()) / "stonechat-interop-last.log"
            if server is not None and server.log_path.exists():
                shutil.copy(server.log_path, kept)
                print(f"the server's log: {kept}")
            shutil.rmtree(work, ignore_errors=True)
        else:
            shutil.rmtree(work, ignore_errors=True)
    return tally.close()


if __name__ == "__main__":
    sys.exit(main())
