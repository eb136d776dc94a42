// @xmpp/client against the server: SASL2 with Bind 2 where offered, else SASL and binding; chat; resumption.
//
// Run by suite_xmppjs.py, which starts one process for each test and gives it accounts and ports as JSON.
// Prints `note ...` lines for the person who reads, and ends with exit code 0 or with the reason it did not.

import dns from "node:dns";
import net from "node:net";
import { webcrypto } from "node:crypto";
import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import { client, xml } from "@xmpp/client";
import { parse } from "ltx";

// Debian 12's node 18 has no global crypto yet, and would try ::1 alone for localhost; @xmpp/client wants both.
globalThis.crypto ??= webcrypto;
dns.setDefaultResultOrder("ipv4first");

const WAIT = 60_000; // for one awaited event; nothing waits for it to pass
const given = JSON.parse(process.env.INTEROP);

/** A promise that fails, with words, when `promise` takes longer than WAIT. */
function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${WAIT} ms: ${typeof what === "function" ? what() : what}`)), WAIT);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Poll for a state that no event announces. */
async function eventually(condition, what) {
  const end = Date.now() + WAIT;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`not within ${WAIT} ms: ${typeof what === "function" ? what() : what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** A TCP wire that can go silent and be cut; the sibling of wire.py. */
class Wire {
  pairs = new Set();
  silent = false;
  swallowed = 0;

  constructor(target) {
    this.server = net.createServer((near) => {
      const far = net.connect(target, "127.0.0.1");
      const pair = [near, far];
      this.pairs.add(pair);
      for (const [from, to] of [pair, [far, near]]) {
        from.on("data", (data) => {
          if (this.silent) this.swallowed += data.length;
          else to.write(data);
        });
        from.on("close", () => {
          this.pairs.delete(pair);
          to.destroy();
        });
        from.on("error", () => {});
      }
    });
  }

  async open() {
    await new Promise((resolve) => this.server.listen(0, "127.0.0.1", resolve));
    this.port = this.server.address().port;
    return this;
  }

  cut() {
    for (const [near, far] of this.pairs) {
      near.resetAndDestroy();
      far.resetAndDestroy();
    }
    this.silent = false;
  }

  close() {
    this.cut();
    this.server.close();
  }
}

/** A client for account `n` of the given ones, not yet started; it keeps what it reads and how it logged in. */
function someone(n, tls, port, userAgent) {
  const [jid, password] = given.accounts[n];
  const [username, domain] = jid.split("@");
  const scheme = tls === "direct" ? "xmpps" : "xmpp";
  const xmpp = client({ service: `${scheme}://localhost:${port}`, domain, username, password, resource: "js", userAgent });
  // Its own two seconds for each answer are short on a busy machine.
  xmpp.timeout = WAIT;
  xmpp.inbox = [];
  xmpp.errors = [];
  xmpp.features = [];
  xmpp.refusals = [];
  xmpp.used = new Set();
  xmpp.tries = [];
  xmpp.on("error", (error) => xmpp.errors.push(error));
  xmpp.on("stanza", (stanza) => {
    if (stanza.is("message") && stanza.getChildText("body")) xmpp.inbox.push(stanza);
  });
  xmpp.on("element", (element) => {
    if (element.is("features", "http://etherx.jabber.org/streams")) xmpp.features.push(element);
  });
  xmpp.on("send", (element) => {
    if (element.name === "auth" || element.name === "authenticate") {
      xmpp.tries.push(element);
      xmpp.used.add(`${element.getNS()} ${element.attrs.mechanism}`);
    }
  });
  return xmpp;
}

const bodies = (xmpp) => xmpp.inbox.map((m) => m.getChildText("body"));

/** Start, and demand the best negotiation that the server offers. */
async function online(xmpp) {
  await within(xmpp.start(), () => `online; errors ${xmpp.errors}`);
  // `start` is done at binding; until <enabled/> is there, a broken stream would be lost and not resumed.
  await eventually(() => xmpp.streamManagement.enabled, "stream management enabled");
  await within(xmpp.send(xml("presence")), "presence sent");
  await settled(xmpp);
  const sasl2 = xmpp.features.some((f) => f.getChild("authentication", "urn:xmpp:sasl:2"));
  const used = [...xmpp.used].join(", ");
  console.log(`note ${xmpp.jid} logged in by ${used}`);
  assert.equal(used.includes("urn:xmpp:sasl:2"), sasl2, "SASL2 is used exactly where it is offered");
  assert.match(used, /SCRAM-SHA-1/);
  if (given.demand.includes("sasl2")) assert.ok(sasl2, "SASL2 must be offered");
  return xmpp;
}

/**
 * Return when the server has dealt with all that this client has sent to its own account.
 *
 * Sent by hand, not by iqCaller: @xmpp/client 0.14.0 does not count an answer that iqCaller takes (its middleware
 * stands before stream management's and passes nothing on), so it would later claim to have received too little.
 */
async function settled(xmpp) {
  const id = `settled-${++settled.count}`;
  const answered = new Promise((resolve) => {
    const look = (stanza) => {
      if (!stanza.is("iq") || stanza.attrs.id !== id) return;
      xmpp.removeListener("stanza", look);
      resolve();
    };
    xmpp.on("stanza", look);
  });
  // An error is an answer too; what counts is that it comes after what went before.
  await xmpp.send(xml("iq", { type: "get", id, to: xmpp.jid.bare().toString() }, xml("ping", "urn:xmpp:ping")));
  await within(answered, "an answer to a ping");
}
settled.count = 0;

function say(xmpp, to, body) {
  // @xmpp/client rejects the promise of a send that finds no socket, and queues the stanza all the same.
  return xmpp.send(xml("message", { to: to.toString(), type: "chat" }, xml("body", {}, body))).catch(() => {});
}

async function readsAll(xmpp, wanted) {
  await eventually(
    () => xmpp.inbox.length >= wanted.length || bodies(xmpp).includes(wanted.at(-1)),
    () => `${xmpp.jid} reads ${wanted.length} messages, has ${bodies(xmpp).length}: ${bodies(xmpp).slice(-3)}`,
  );
  assert.deepEqual(bodies(xmpp), wanted);
}

const port = (tls) => (tls === "direct" ? given.direct : given.starttls);

/**
 * A port that leads to this one by a wire in this process. @xmpp/client 0.14.0 listens for the answer to its stream
 * header, and for that to its </stream:stream>, only after the callback of its write, which node calls over TLS a phase
 * later than it may have read the answer of a server that was faster than this process. Behind a wire the answer comes
 * later than that.
 */
const behind = async (port) => (await new Wire(port).open()).port;
const way = (tls) => behind(port(tls));

const tests = {
  async login(tls) {
    const xmpp = await online(someone(0, tls, await way(tls)));
    assert.equal(xmpp.jid.bare().toString(), given.accounts[0][0]);
    assert.ok(xmpp.jid.resource, "a resource is bound");
    await say(xmpp, xmpp.jid, "note to self");
    await readsAll(xmpp, ["note to self"]);
    await within(xmpp.stop(), "stopped");
  },

  // XEP-0484: the second login is by a token, in one round trip to a bound session with stream management.
  async fast(tls) {
    const first = await online(someone(0, tls, await way(tls)));
    const token = await first.fast.fetch();
    assert.ok(token, "a token was given");
    assert.equal(token.mechanism, "HT-SHA-256-NONE");
    assert.ok(new Date(token.expiry) > new Date(), token.expiry);
    const agent = first.tries.at(-1).getChild("user-agent");
    await within(first.stop(), "stopped");

    const [jid, password] = given.accounts[0];
    given.accounts[0] = [jid, "the password is not needed"];
    const again = someone(0, tls, await way(tls), agent);
    await again.fast.saveToken(token);
    await within(again.start(), () => `online; errors ${again.errors}`);
    await eventually(() => again.streamManagement.enabled, "stream management enabled");
    assert.deepEqual(again.errors, []);
    assert.deepEqual(again.tries.map((element) => element.attrs.mechanism), ["HT-SHA-256-NONE"]);
    assert.ok(again.tries[0].getChild("bind", "urn:xmpp:bind:0"), "bound in the same breath");
    await within(again.send(xml("presence")), "presence sent");
    await say(again, again.jid.bare(), "by a token");
    await readsAll(again, ["by a token"]);
    await within(again.stop(), "stopped");

    // A token of another client is none: the client falls back to its password by itself.
    given.accounts[0] = [jid, password];
    const stranger = someone(0, tls, await way(tls));
    await stranger.fast.saveToken(token);
    await within(stranger.start(), () => `online; errors ${stranger.errors}`);
    assert.deepEqual(stranger.tries.map((element) => element.attrs.mechanism), ["HT-SHA-256-NONE", "SCRAM-SHA-1"]);
    assert.notEqual((await stranger.fast.fetch()).token, token.token);
    await within(stranger.stop(), "stopped");
  },

  async refused(tls) {
    given.accounts[0][1] = "wrong";
    const xmpp = someone(0, tls, await way(tls));
    xmpp.reconnect.stop();
    await assert.rejects(within(xmpp.start(), "refused"), (error) => {
      assert.equal(error.condition, "not-authorized");
      return true;
    });
    await xmpp.stop().catch(() => {});
  },

  async chat(tls) {
    const juliet = await online(someone(0, tls, await way(tls)));
    const romeo = await online(someone(1, "starttls", await way("starttls")));
    const there = Array.from({ length: 50 }, (_, n) => `j${n}`);
    const back = Array.from({ length: 50 }, (_, n) => `r${n} ☃`);
    await Promise.all([
      (async () => { for (const body of there) await say(juliet, romeo.jid.bare(), body); })(),
      (async () => { for (const body of back) await say(romeo, juliet.jid, body); })(),
    ]);
    await readsAll(romeo, there);
    await readsAll(juliet, back);
    assert.equal(romeo.inbox[0].attrs.from, juliet.jid.toString());
    await within(Promise.all([juliet.stop(), romeo.stop()]), "stopped");
  },

  // No login may take longer than the server waits for one (server.py lets it wait long): @xmpp/client 0.14.0 keeps
  // listening for the answer of an attempt whose connection broke (`procedure` removes its listener at an answer only), so
  // the next <challenge/> would be answered twice, first with the proof of the old attempt, which is not-authorized.
  async resume(tls) {
    const wire = await new Wire(port(tls)).open();
    const juliet = someone(0, tls, wire.port);
    juliet.reconnect.delay = 100;
    const resumptions = [];
    juliet.streamManagement.on("resumed", () => resumptions.push(juliet.jid.toString()));
    await online(juliet);
    const romeo = await online(someone(1, "starttls", await way("starttls")));
    const hers = [], his = [];
    const both = async (count) => {
      for (let i = 0; i < count; i++) {
        hers.push(`j${hers.length}`);
        await say(juliet, romeo.jid, hers.at(-1));
        his.push(`r${his.length}`);
        await say(romeo, juliet.jid, his.at(-1));
      }
    };
    for (let round = 1; round <= 3; round++) {
      await both(10);
      await readsAll(romeo, hers);
      await readsAll(juliet, his);
      wire.silent = true;
      wire.swallowed = 0;
      await both(10);
      await settled(romeo);
      await eventually(() => wire.swallowed > 0, "bytes lost in the silence");
      const dropped = new Promise((resolve) => juliet.once("disconnect", resolve));
      wire.cut();
      await within(dropped, "the client notices");
      await eventually(() => resumptions.length === round, () => `resumption ${round}; errors ${juliet.errors}`);
      await readsAll(romeo, hers);
      await readsAll(juliet, his);
    }
    await both(5);
    await readsAll(romeo, hers);
    await readsAll(juliet, his);
    assert.equal(new Set(resumptions).size, 1, "the address stays the same");
    await within(Promise.all([juliet.stop(), romeo.stop()]), "stopped");
    wire.close();
  },

  // A device that somebody else holds (device.py): it sends each line of its input, a stanza as XML, and prints each
  // stanza that comes, one a line. It reconnects and resumes by itself until its input ends. It says of each line
  // whether its connection took it: what meets a connection in the moment of its end, @xmpp/client 0.14.0 forgets.
  async device(tls) {
    const xmpp = someone(0, tls, await behind(given.port));
    xmpp.reconnect.delay = 100;
    const tell = (what) => console.log(JSON.stringify(what));
    xmpp.on("stanza", (stanza) => tell({ stanza: stanza.toString() }));
    xmpp.on("disconnect", () => tell({ event: "lost" }));
    xmpp.streamManagement.on("resumed", () => tell({ event: "resumed" }));
    await online(xmpp);
    tell({ event: "online", jid: xmpp.jid.toString() });
    for await (const line of createInterface({ input: process.stdin })) {
      xmpp.send(parse(line)).then(() => tell({ written: line }), (error) => tell({ unwritten: line, why: String(error) }));
    }
    await within(xmpp.stop(), "stopped");
  },
};

const [name, tls] = process.argv.slice(2);
try {
  await tests[name](tls);
  process.exit(0);
} catch (error) {
  console.log(error.stack ?? String(error));
  process.exit(1);
}
