"""The scenario of portal-core/testkit/scenarios, from Python.

Needs the generated module `portal` on PYTHONPATH, and the program portal-testkit-relay where cargo
builds it or PORTAL_TESTKIT_RELAY says. `cargo xtask test --only python` sees to both.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import portal

ROOT = Path(__file__).resolve().parents[3]
SCENARIO = ROOT / "portal-core/testkit/scenarios/login_pay_restart.json"


class Relay:
    """A relay on loopback that ends with this program."""

    def __enter__(self):
        target = os.environ.get("CARGO_TARGET_DIR") or ROOT / "target"
        built = Path(target) / "debug" / "portal-testkit-relay"
        program = os.environ.get("PORTAL_TESTKIT_RELAY") or built
        self.process = subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.url = json.loads(self.process.stdout.readline())["url"]
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(timeout=10)
        self.process.stdout.close()


def name(value):
    """The name of an enum's case, as the scenario writes it."""
    return type(value).__name__.rpartition(".")[2].lower()


def described(event):
    body = event.body
    if name(body) in ("authenticate_key", "payment_status_update"):
        return f"{name(body)}:{name(body.status)}"
    return name(body)


class Runner:
    def __init__(self, scenario, relay, folder):
        self.app = portal.ClientInfo(**scenario["app"])
        self.relay, self.folder = relay, folder
        self.network = portal.SimulatedNetwork.in_memory()
        self.wallets = {
            wallet: self.network.wallet(wallet, msat) for wallet, msat in scenario["wallets"].items()
        }
        self.service_key = portal.Keypair.generate()
        self.client_key = portal.Mnemonic.generate().keypair()
        self.service = self.client = self.request = self.url = self.preimage = None
        self.streams, self.cursors = {}, {}

    async def start(self, who):
        common = {
            "relays": [self.relay],
            "database": str(Path(self.folder) / f"{who}.sqlite"),
            "allow_private_relays": True,
        }
        if who == "service":
            options = portal.ServiceOptions(wallet=self.wallets["merchant"], **common)
            self.service = node = await portal.Service.start(self.service_key, options)
        else:
            options = portal.ClientOptions(**common)
            self.client = node = await portal.Client.start(self.client_key, options)
        while all(relay.state != portal.RelayState.CONNECTED for relay in node.relays()):
            await asyncio.sleep(0.01)

    async def stop(self, who):
        assert await getattr(self, who).shutdown()

    async def restart(self, who):
        await self.stop(who)
        await self.start(who)

    async def make_url(self):
        opened = await self.service.new_key_handshake_url(portal.HandshakeOptions())
        parts = portal.parse_handshake_url(opened.url)
        assert parts.main_key == self.service.main_key() and parts.relays == [self.relay]
        self.url, self.streams["handshake"] = opened.url, opened.stream_id

    async def open_url(self, url=None):
        await self.client.send_key_handshake(url or self.url, self.app)

    async def ask_login(self):
        self.open("login", await self.service.authenticate_key(self.person(), []))

    async def ask_payment(self, amount_msat, description=None):
        content = portal.SinglePaymentContent(
            amount=amount_msat, currency=portal.Currency.MILLISATS(), description=description
        )
        self.open(
            "payment", await self.service.request_single_payment(self.person(), [], content)
        )
        self.asked = (amount_msat, description)

    async def expect_request(self, same=False, **expected):
        request = await self.client.requests().next()
        assert name(request.body) == expected["is"], request.body
        assert request.service_key == self.service.main_key()
        assert not same or request.id == self.request.id
        if expected["is"] == "payment":
            asked = request.body.request
            assert (asked.amount, asked.description) == self.asked
        self.request = request

    async def expect_no_request(self):
        assert await self.client.requests().next() is None

    async def handled(self):
        await self.client.requests().handled(self.request.id)

    async def approve_login(self, hours):
        token = self.client_key.issue_jwt(self.request.service_key, hours * 3600)
        await self.client.reply_login(self.request.id, portal.LoginStatus.APPROVED([], token))

    async def decline_login(self, reason):
        await self.client.reply_login(self.request.id, portal.LoginStatus.DECLINED(reason))

    async def reply_payment(self, status):
        statuses = {
            "approved": portal.PaymentStatus.APPROVED,
            "success": lambda: portal.PaymentStatus.SUCCESS(self.preimage),
        }
        await self.client.reply_payment(self.request.id, statuses[status]())

    async def pay(self, payer):
        invoice = self.request.body.request.invoice
        self.preimage = (await self.network.pay_invoice(payer, invoice)).preimage

    async def expect_event(self, stream, keep=False, **expected):
        events = await self.read(stream)
        event = await events.next()
        assert described(event) == expected["is"], described(event)
        if expected["is"] == "key_handshake":
            assert event.body.main_key == self.person()
        if expected["is"] == "authenticate_key:approved":
            claims = portal.verify_jwt(event.body.user_key, event.body.status.session_token)
            assert event.body.user_key == self.person()
            assert claims.target_key == self.service.main_key()
        if not keep:
            events.acknowledge(event.index)
            self.cursors[stream] = events.cursor()

    async def expect_end(self, stream):
        assert await (await self.read(stream)).next() is None

    async def expect_log(self, stream, are):
        self.cursors[stream] = None
        for event in are:
            await self.expect_event(stream, **{"is": event})
        await self.expect_end(stream)

    async def expect_balance(self, wallet, msat):
        assert await self.wallets[wallet].balance_msat() == msat

    def open(self, stream, stream_id):
        self.streams[stream], self.cursors[stream] = stream_id, None

    async def read(self, stream):
        return await self.service.stream(self.streams[stream], self.cursors.get(stream))

    def person(self):
        return self.client_key.public_key().hex

    async def step(self, step):
        arguments = dict(step)
        action, refused = getattr(self, arguments.pop("do")), arguments.pop("refused", None)
        try:
            await action(**arguments)
        except portal.PortalError.Failed as error:
            assert portal.error_word(error.number) == refused, error
        else:
            assert refused is None, "it is not refused"


async def main():
    scenario = json.loads(SCENARIO.read_text())
    with Relay() as relay, tempfile.TemporaryDirectory() as folder:
        runner = Runner(scenario, relay.url, folder)
        for number, step in enumerate(scenario["steps"], 1):
            try:
                await asyncio.wait_for(runner.step(step), scenario["step_seconds"])
            except BaseException:
                print(f"step {number} failed: {step}", file=sys.stderr)
                raise
    print(f"{scenario['name']}: {len(scenario['steps'])} steps")


asyncio.run(main())
