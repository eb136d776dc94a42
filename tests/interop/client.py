"""A slixmpp client that a test can drive and read like a person at a screen.

Knows slixmpp's events and its quirks; the tests know neither.
"""

import asyncio
import logging
import pathlib

import slixmpp
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from harness import WAIT, Mismatch, eventually, expect

# slixmpp reports what the tests provoke on purpose; with --verbose the log goes to a file.
logging.getLogger("slixmpp").addHandler(logging.NullHandler())
logging.getLogger("slixmpp").propagate = False

PLUGINS = ("xep_0030", "xep_0199", "xep_0092", "xep_0202", "xep_0012", "xep_0203", "xep_0280",
           "xep_0313", "xep_0334", "xep_0359", "xep_0004", "xep_0049", "xep_0050", "xep_0054", "xep_0048")


class LoginRefused(Exception):
    """SASL said no; `conditions` are the failure conditions in order, `texts` their words."""

    def __init__(self, conditions, texts):
        super().__init__(f"login refused: {conditions}")
        self.conditions, self.texts = conditions, texts


class Client(slixmpp.ClientXMPP):
    """One resource of one user. `port` leads to the server, `tls` is "starttls" or "direct"."""

    def __init__(self, jid, password, port, ca, tls="starttls", mech=None, managed=False):
        super().__init__(jid, password, sasl_mech=mech)
        self.port = port
        self.ca_certs = pathlib.Path(ca)
        self.enable_direct_tls = tls == "direct"
        self.enable_starttls = tls == "starttls"
        self.managed = managed
        for plugin in PLUGINS + (("xep_0198",) if managed else ()):
            self.register_plugin(plugin)
        self.inbox = []  # every <message/> that arrived, errors and carbons too
        self.resumptions = 0
        self.mechanism_used = None
        self._refusals, self._refusal_texts = [], []
        self._online = None
        self.register_handler(Callback("inbox", MatchXPath("{jabber:client}message"), self.inbox.append))
        self.add_event_handler("session_start", self._on_start)
        self.add_event_handler("sm_enabled", self._on_managed)
        self.add_event_handler("session_resumed", self._on_resumed)
        self.add_event_handler("sm_failed", self._on_resume_failed)
        self.add_event_handler("auth_success", self._on_auth)
        self.add_event_handler("failed_auth", self._on_refused)
        self.add_event_handler("disconnected", self._on_disconnected)

    # Events

    def _settle(self, result=None, error=None):
        if self._online is not None and not self._online.done():
            if error is None:
                self._online.set_result(result)
            else:
                self._online.set_exception(error)

    def _on_auth(self, _):
        self.mechanism_used = self.plugin["feature_mechanisms"].mech.name

    def _on_start(self, _):
        if not self.managed:
            self._settle("started")

    def _on_managed(self, _):
        self._settle("started")

    def _on_resumed(self, _):
        self.resumptions += 1
        self._settle("resumed")

    def _on_resume_failed(self, stanza):
        self._settle(error=Mismatch(f"stream management failed: {stanza}"))

    def _on_refused(self, stanza):
        self._refusals.append(stanza["condition"])
        self._refusal_texts.append(stanza["text"])

    def _on_disconnected(self, reason):
        if self._refusals:
            self._settle(error=LoginRefused(self._refusals, self._refusal_texts))
        else:
            self._settle(error=Mismatch(f"connection ended before the session began: {reason}"))

    # Coming and going

    async def connect_only(self):
        """Connect, secure, authenticate and bind (or resume); returns "started" or "resumed"."""
        self._online = asyncio.get_running_loop().create_future()
        self._refusals, self._refusal_texts = [], []
        # slixmpp arms the future `disconnected` anew each time: nothing may be left of the last one.
        self.connect("127.0.0.1", self.port)
        try:
            return await asyncio.wait_for(asyncio.shield(self._online), WAIT)
        except asyncio.TimeoutError:
            raise Mismatch(f"{self.requested_jid} was not online within {WAIT} s") from None

    async def online(self, priority=0):
        """Log in, send presence, and return once the account has taken note of it."""
        await self.connect_only()
        await self.available(priority)
        return self

    async def available(self, priority=0):
        self.send_presence(ppriority=priority)
        await self.settled()

    async def settled(self, account=None):
        """Return once the server has dealt with everything this client has sent to its own account, or to this one."""
        iq = self.make_iq_get(ito=account or self.boundjid.bare)
        iq.enable("ping")
        # Any answer will do: it comes after what went before.
        try:
            await iq.send(timeout=WAIT)
        except slixmpp.exceptions.IqError:
            pass

    async def gone(self):
        """Leave as a person does: unavailable presence, end of stream, the server's end of stream."""
        if not self.is_connected():
            return
        ended = asyncio.get_running_loop().create_future()

        def done(_):
            if not ended.done():
                ended.set_result(None)

        self.add_event_handler("disconnected", done, disposable=True)
        self.send_presence(ptype="unavailable")
        await asyncio.wait_for(asyncio.shield(self.waiting_queue.join()), WAIT)
        self.disconnect(wait=WAIT)
        await asyncio.wait_for(ended, WAIT)

    async def dropped(self, cause):
        """Call `cause` and return when this client has seen its connection end."""
        ended = asyncio.get_running_loop().create_future()

        def done(_):
            if not ended.done():
                ended.set_result(None)

        self.add_event_handler("disconnected", done, disposable=True)
        cause()
        await asyncio.wait_for(ended, WAIT)

    async def close(self):
        """Whatever the state, leave nothing behind."""
        self.cancel_connection_attempt()
        if self.is_connected():
            try:
                await asyncio.wait_for(self.gone(), 10)
            except (asyncio.TimeoutError, slixmpp.xmlstream.xmlstream.NotConnectedError):
                self.abort()
        if self._run_out_filters is not None:
            self._run_out_filters.cancel()

    # Talking and reading

    def say(self, to, body, kind="chat"):
        """Send a message; returns its id."""
        message = self.make_message(mto=to, mbody=body, mtype=kind)
        message["id"] = self.new_id()
        message.send()
        return message["id"]

    def bodies(self, sender=None):
        """Bodies of the ordinary messages so far, in order of arrival; only `sender`'s (bare) if given."""
        return [m["body"] for m in self.inbox
                if m["type"] != "error" and m["body"]
                and (sender is None or m["from"].bare == sender)]

    async def reads(self, body):
        """Wait for the message with this body, and return it."""
        def found():
            return next((m for m in self.inbox if m["body"] == body and m["type"] != "error"), None)
        return await eventually(found, lambda: f"{self.boundjid} reads {body!r}; it has "
                                               f"{self.bodies()[-12:]}")

    async def reads_all(self, bodies, sender=None):
        """Wait for as many messages as `bodies` has, then demand exactly these in this order."""
        bodies = list(bodies)
        await eventually(lambda: len(self.bodies(sender)) >= len(bodies) or bodies[-1] in self.bodies(sender),
                         lambda: f"{self.boundjid} reads {len(bodies)} messages; it has "
                                 f"{len(self.bodies(sender))}, the last {self.bodies(sender)[-3:]}")
        got = self.bodies(sender)
        if got != bodies:
            lost = [body for body in bodies if body not in got]
            twice = sorted({body for body in got if got.count(body) > 1})
            raise Mismatch(f"{self.boundjid}: lost {lost[:9]}, doubled {twice[:9]}, strange "
                           f"{[body for body in got if body not in bodies][:9]}, got {len(got)} of "
                           f"{len(bodies)}" + ("" if lost or twice else ", order wrong"))

    async def reads_error(self, stanza_id):
        """Wait for the error that answers the message with this id, and return its condition."""
        def found():
            return next((m for m in self.inbox if m["type"] == "error" and m["id"] == stanza_id), None)
        message = await eventually(found, f"{self.boundjid} gets an error for {stanza_id}")
        return message["error"]["condition"]


def client(world, account, resource=None, tls="starttls", port=None, **rest):
    """A client of the world's server for `account`, closed with the world."""
    jid, password = account
    if port is None:
        port = world.server.starttls_port if tls == "starttls" else world.server.direct_port
    made = Client(f"{jid}/{resource}" if resource else jid, password, port, world.server.ca, tls, **rest)
    world.push_async_callback(made.close)
    return made
