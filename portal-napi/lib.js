'use strict'

// What JavaScript likes better than the addon gives: errors with a code, and `for await`.

const addon = require('./index.js')

/** Why a call did not do what it is for. */
class PortalError extends Error {
  constructor({ code, number, message, retryable }) {
    super(message)
    this.name = 'PortalError'
    this.code = code
    this.number = number
    this.retryable = retryable
  }
}

/** The addon can only throw texts: its own are JSON. */
function translated(error) {
  if (error instanceof Error && error.message.startsWith('{"portal":')) {
    return new PortalError(JSON.parse(error.message).portal)
  }
  return error
}

function wrapped(call) {
  const wrapper = function (...args) {
    try {
      const result = call.apply(this, args)
      if (!(result instanceof Promise)) return result
      return result.catch((error) => {
        throw translated(error)
      })
    } catch (error) {
      throw translated(error)
    }
  }
  Object.defineProperty(wrapper, 'name', { value: call.name })
  return wrapper
}

/** The class with its own prototype and our static methods: those of the addon cannot be replaced. */
function facade(Class) {
  const { prototype } = Class
  for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
    if (name !== 'constructor') prototype[name] = wrapped(value)
  }
  const made = function () {
    throw new TypeError(`${Class.name} is made by its static methods`)
  }
  Object.defineProperty(made, 'name', { value: Class.name })
  Object.defineProperty(made, 'prototype', { value: prototype })
  prototype.constructor = made
  for (const name of Object.getOwnPropertyNames(Class)) {
    const { value } = Object.getOwnPropertyDescriptor(Class, name)
    if (typeof value === 'function' && !(name in Function)) {
      made[name] = wrapped((...args) => value.apply(Class, args))
    }
  }
  return made
}

const exported = { PortalError }
for (const [name, value] of Object.entries(addon)) {
  if (typeof value !== 'function') continue
  exported[name] = /^[A-Z]/.test(name) ? facade(value) : wrapped(value)
}

// Coming back for more says that the one before is done; leaving the loop by `break` or an error
// leaves it, so that it is given again.
async function* requests() {
  for (let request; (request = await this.next()); ) {
    yield request
    await this.handled(request.id)
  }
}

async function* events() {
  for (let event; (event = await this.next()); ) {
    yield event
    this.acknowledge(event.index)
  }
}

/** Why the wallet of an app did not do as asked: throw it, or reject with it. */
class WalletFault extends Error {
  constructor(kind, { code, reason } = {}) {
    super(reason ?? kind)
    this.name = 'WalletFault'
    this.kind = kind
    this.code = code
    this.reason = reason
  }
}

// Between the addon and an app's wallet go texts: JSON, with amounts as digits.
const read = (text) =>
  JSON.parse(text, (key, value) => (/Msat$/.test(key) && typeof value === 'string' ? BigInt(value) : value))
const write = (value) => JSON.stringify(value, (_, part) => (typeof part === 'bigint' ? part.toString() : part))

/** Never rejects: what the app throws becomes a fault. */
async function answered(app, text) {
  try {
    const { method, params } = read(text)
    if (method === 'shutdown' && typeof app.shutdown !== 'function') return write({ value: null })
    if (typeof app[method] !== 'function') throw new WalletFault('unsupported')
    return write({ value: (await app[method](...params)) ?? null })
  } catch (error) {
    if (error instanceof WalletFault) {
      const { kind, code, reason } = error
      return JSON.stringify({ fault: { kind: String(kind), code: code && String(code), reason: reason && String(reason) } })
    }
    // Its text may hold anything of the app's, so it is not repeated.
    return '{"fault":{"kind":"other","reason":"the wallet of the app threw something unexpected"}}'
  }
}

const { Wallet } = exported
Wallet.fromApp = (app) => {
  const wallet = Wallet.fromAppCalls((text) => answered(app, text))
  const tell = (event) => wallet.appEvent(write(event))
  app.listen?.({
    settled: (payment) => tell({ type: 'settled', payment }),
    reconnected: () => tell({ type: 'reconnected' }),
    disconnected: () => tell({ type: 'disconnected' }),
  })
  return wallet
}
exported.WalletFault = WalletFault

exported.Requests.prototype[Symbol.asyncIterator] = requests
exported.EventStream.prototype[Symbol.asyncIterator] = events

module.exports = exported
