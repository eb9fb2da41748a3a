// @cashu/cashu-ts, which we did not write, against our mint: tickets with the token by both
// methods, passing on without it, burning, and satoshis as any wallet does them.
//
// PORTAL_MINT_URL, PORTAL_MINT_TOKEN: a mint with `vip`, `drinks` and `sat`, which takes the token.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { JSONInt, Mint, Wallet, getEncodedToken } from '@cashu/cashu-ts';

const url = process.env.PORTAL_MINT_URL;
const token = process.env.PORTAL_MINT_TOKEN;
assert.ok(url && token, 'PORTAL_MINT_URL and PORTAL_MINT_TOKEN are set');

/** A request with the token; amounts are numbers in it, as the protocol wants them. */
async function withToken({ endpoint, requestBody, headers, method }) {
  const response = await fetch(endpoint, {
    method,
    headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${token}`, ...headers },
    body: requestBody === undefined ? undefined : JSONInt.stringify(requestBody),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(text);
  return JSONInt.parse(text);
}

async function wallet(unit, trusted) {
  const mint = new Mint(url, trusted ? { customRequest: withToken } : undefined);
  const made = new Wallet(mint, { unit });
  await made.loadMint();
  return made;
}

const sum = (proofs) => proofs.reduce((total, proof) => total + Number(proof.amount), 0);

async function issue(from, unit, amount, method) {
  const quote =
    method === 'bolt11'
      ? await from.createMintQuoteBolt11(amount)
      : await from.createMintQuote(method, { unit, amount });
  return from.mintProofs(method, amount, quote);
}

for (const [unit, amount, method] of [
  ['vip', 3, 'bolt11'],
  ['vip', 2, 'portal'],
  ['drinks', 37, 'portal'],
  ['sat', 100, 'bolt11'],
]) {
  test(`${amount} ${unit} by ${method}: issued, passed on, burned, not twice`, async () => {
    const box = await wallet(unit, true);
    const proofs = await issue(box, unit, amount, method);
    assert.equal(sum(proofs), amount);
    if (unit === 'vip') assert.equal(proofs.length, amount, 'a proof for each ticket');

    const person = await wallet(unit, false);
    const text = getEncodedToken({ mint: url, unit, proofs });
    const received = await person.receive(text);
    assert.equal(sum(received), amount);
    await assert.rejects(person.receive(text), /spent/i);

    const { keep, send } = await person.send(1, received);
    assert.equal(sum(send), 1);
    assert.equal(sum(keep), amount - 1);
    const states = await person.checkProofsStates(send);
    assert.ok(states.every((state) => state.state === 'UNSPENT'));

    const quote = await box.createMeltQuote('portal', {
      request: 'burn:1:gate',
      unit,
      method: 'portal',
    });
    await box.meltProofs('portal', quote, send);
    const after = await person.checkProofsStates(send);
    assert.ok(after.every((state) => state.state === 'SPENT'));
  });
}

test('without the token nothing is issued', async () => {
  const person = await wallet('vip', false);
  await assert.rejects(person.createMintQuoteBolt11(1), /token/i);
});

test('the unit has its card', async () => {
  const info = await new Mint(url).getInfo();
  assert.equal(info.unit_info.vip.show_individually, true);
  const card = await (await fetch(`${url}/v1/unit/vip`)).json();
  assert.deepEqual(card, JSON.parse(JSON.stringify(info.unit_info.vip)));
});
