"""A Lightning wallet written in Python is what a service takes money with.

Needs what scenario.py needs. Its provider is the simulated network; what the library learns, it
learns from the methods of the Python class.
"""

import asyncio
import hashlib
import json
import os
import subprocess
from pathlib import Path

import portal

ROOT = Path(__file__).resolve().parents[3]
LIMIT = 60
AMOUNT = 21_000


class OwnWallet(portal.LightningWallet):
    """What an app would write over the package of its Lightning provider."""

    def __init__(self, network):
        self.network, self.till = network, network.wallet("till", 0)
        self.listener, self.calls, self.lie, self.ended = None, [], None, False

    async def info(self):
        self.calls.append("info")
        return portal.WalletDescription(
            kind="own", methods=["make_invoice", "lookup_invoice", "pay_invoice"], notifies=True
        )

    async def balance(self):
        if self.lie == "throw":
            raise RuntimeError("not a WalletFault")
        if self.lie == "refuse":
            raise portal.WalletFault.Refused(code="QUOTA_EXCEEDED", reason="not today")
        return await self.till.balance()

    async def make_invoice(self, order):
        self.calls.append("make_invoice")
        if self.lie == "amount":
            order.amount_msat += 1
        return await self.till.make_invoice(order)

    async def lookup(self, payment_hash):
        self.calls.append("lookup")
        payment = await self.till.lookup(payment_hash)
        if self.lie == "other" and payment is not None:
            payment.payment_hash = "11" * 32
        return payment

    async def pay(self, order):
        paid = await self.network.pay_invoice("till", order.invoice)
        return portal.WalletOutcome.SETTLED(paid.preimage, paid.fee_msat)

    async def list(self, query):
        return await self.till.list(query)

    def listen(self, listener):
        assert self.listener is None, "called once"
        self.listener = listener

    async def shutdown(self):
        self.ended = True

    async def tell(self, payment_hash):
        """What a provider's own event would lead to."""
        self.listener.settled(await self.till.lookup(payment_hash))


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


async def connected(node):
    while all(relay.state != portal.RelayState.CONNECTED for relay in node.relays()):
        await asyncio.sleep(0.01)
    return node


async def error_of(call):
    try:
        result = await call
    except portal.PortalError.Failed as error:
        return portal.error_word(error.number)
    raise AssertionError(f"it was believed: {result}")


async def order(service, person, description):
    content = portal.SinglePaymentContent(
        amount=AMOUNT, currency=portal.Currency.MILLISATS(), description=description
    )
    return await service.request_single_payment(person, [], content)


async def asked(client):
    request = await client.requests().next()
    await client.requests().handled(request.id)
    return request.body.request.invoice


async def paid(service, stream):
    event = await (await service.stream(stream, None)).next()
    assert isinstance(event.body.status, portal.PaymentUpdate.PAID), event.body
    return event.body.status


async def main():
    # Calls of the library come from threads of its own; this says where coroutines run.
    portal.uniffi_set_event_loop(asyncio.get_running_loop())
    network = portal.SimulatedNetwork.in_memory()
    network.wallet("person", 1_000_000)
    own = OwnWallet(network)
    wallet = portal.Wallet.from_app(own)
    with Relay() as relay:
        common = {"relays": [relay.url], "allow_private_relays": True}
        options = portal.ServiceOptions(wallet=wallet, **common)
        service = await connected(
            await portal.Service.start(portal.Keypair.generate(), options)
        )
        client = await connected(
            await portal.Client.start(portal.Keypair.generate(), portal.ClientOptions(**common))
        )
        person = client.main_key()

        # Paid, and the wallet told of it.
        stream = await order(service, person, "told")
        preimage = (await network.pay_invoice("person", await asked(client))).preimage
        payment_hash = hashlib.sha256(bytes.fromhex(preimage)).hexdigest()
        await own.tell(payment_hash)
        assert (await paid(service, stream)).preimage == preimage

        # Paid, and the wallet said no more than that it should be asked.
        stream = await order(service, person, "asked")
        preimage = (await network.pay_invoice("person", await asked(client))).preimage
        own.listener.reconnected()
        assert (await paid(service, stream)).preimage == preimage
        assert "lookup" in own.calls and own.calls.count("make_invoice") == 2

        # Nothing that the wallet says is taken over unchecked.
        own.lie = "amount"
        wanted = portal.InvoiceOrder(amount_msat=AMOUNT, description=None, expiry_seconds=600)
        refused = await error_of(wallet.make_invoice(wanted))
        assert refused == "wallet_refused", refused
        own.lie = "other"
        refused = await error_of(wallet.lookup(payment_hash))
        assert refused == "wallet_refused", refused
        own.lie = "throw"
        refused = await error_of(wallet.balance())
        assert refused == "wallet_refused", refused
        own.lie = "refuse"
        refused = await error_of(wallet.balance())
        assert refused == "wallet_refused", refused
        own.lie = None
        assert (await wallet.balance()).amount_msat == 2 * AMOUNT
        assert (await wallet.info()).kind == "own"
        listed = await wallet.list(portal.PaymentQuery(since=0, outgoing=None, offset=0, limit=20))
        assert len(listed) == 2 and not listed[0].outgoing

        assert await client.shutdown() and await service.shutdown()
        await wallet.shutdown()
        assert own.ended
        assert await error_of(wallet.balance()) == "shutting_down"
    print("own_wallet: a wallet in Python was paid twice and never believed when it lied")


asyncio.run(asyncio.wait_for(main(), LIMIT))
