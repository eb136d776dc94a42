"""A program in a terminal of its own: keys in, screen out, by tmux on a private socket.

Knows tmux; `Profanity` adds what a person at profanity 0.13 types and sees.
"""

import asyncio
import os
import pathlib
import re
import shutil
import tempfile

from harness import WAIT, Mismatch, eventually


class Terminal:
    """One tmux server with one window; the program sees a home directory made for it."""

    def __init__(self, *command):
        # tmux's socket path must be short: a directory of its own right under /tmp.
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="sc-term."))
        self.command = command

    async def tmux(self, *arguments):
        process = await asyncio.create_subprocess_exec(
            "tmux", "-S", str(self.home / "tmux"), "-f", "/dev/null", *arguments,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
        out, err = await process.communicate()
        if process.returncode != 0:
            raise Mismatch(f"tmux {arguments[0]}: {err.decode()}")
        return out.decode()

    async def open(self):
        clean = ["env", "-i", f"HOME={self.home}", f"PATH={os.environ['PATH']}", "TERM=screen-256color",
                 "LANG=C.UTF-8", f"XDG_CONFIG_HOME={self.home}/config", f"XDG_DATA_HOME={self.home}/data",
                 f"XDG_CACHE_HOME={self.home}/cache"]
        await self.tmux("-u", "new-session", "-d", "-x", "160", "-y", "50", "--", *clean, *self.command)
        return self

    async def screen(self):
        """What a person sees now."""
        return await self.tmux("capture-pane", "-p")

    async def type(self, text):
        """Type `text` and press Enter."""
        await self.tmux("send-keys", "-l", "--", text)
        await self.tmux("send-keys", "Enter")

    async def sees(self, *patterns, seconds=WAIT):
        """Wait until one of the regular expressions is on the screen; returns the index of which."""
        shown = ""
        found = []

        async def look():
            nonlocal shown
            shown = await self.screen()
            found[:] = [n for n, pattern in enumerate(patterns) if re.search(pattern, shown)]
            return found

        for _ in range(int(seconds / 0.1)):
            if await look():
                return found[0]
            await asyncio.sleep(0.1)
        text = "\n".join(line for line in shown.splitlines() if line.strip())
        raise Mismatch(f"not on the screen within {seconds} s: {patterns}\n{text}")

    async def close(self):
        """End the program and its tmux server, wait for the end, remove the home."""
        try:
            await self.tmux("kill-server")
        except Mismatch:
            pass  # the program has ended, and tmux with it
        shutil.rmtree(self.home, ignore_errors=True)


class Profanity(Terminal):
    """profanity, from an empty home."""

    def __init__(self):
        super().__init__("profanity")

    async def open(self):
        config = self.home / "config/profanity"
        config.mkdir(parents=True)
        # Quiet where chance would show on the screen, and no server is left that answers a ping later than in its ten
        # seconds; receipts and the like stay at their defaults.
        (config / "profrc").write_text("[ui]\nsplash=true\n[notifications]\nremind.period=0\n"
                                       "[connection]\nautoping=0\n")
        await super().open()
        await self.sees("You can connect to an existing XMPP account")
        return self

    async def log_in(self, account, port, tls):
        """Log in as a person would, and trust the certificate at first sight when asked."""
        jid, password = account
        policy = {"starttls": "force", "direct": "legacy"}[tls]
        await self.type(f"/connect {jid} server 127.0.0.1 port {port} tls {policy}")
        await self.sees("Enter password:")
        await self.type(password)
        # Not "failed" alone: "TLS certificate verification failed" is drawn a moment before the line that asks.
        come = ("logged in successfully", "Login failed")
        if await self.sees("/tls always", *come) == 0:
            await self.type("/tls always")
        if await self.sees(*come) != 0:
            raise Mismatch(f"{jid} is refused:\n{await self.screen()}")

    async def say(self, to, text):
        """Open the chat with `to` and send it a line."""
        await self.type(f"/msg {to} {text}")
        await self.reads(text)

    async def turns_to(self, sender):
        """Wait for the notice of a first message from `sender` and go to its window."""
        await self.sees("<< chat message: " + re.escape(sender))
        await self.type("/win 2")

    async def reads(self, text):
        """Wait until `text` is on the screen."""
        await self.sees(re.escape(text))


async def profanity(world):
    """A profanity that ends with the world."""
    made = Profanity()
    world.push_async_callback(made.close)
    return await made.open()
