'use strict'

const { spawn } = require('node:child_process')
const { once } = require('node:events')
const path = require('node:path')
const readline = require('node:readline')

const root = path.resolve(__dirname, '../..')

/** Starts a relay on loopback; it ends with its standard input, so at the latest with us. */
async function startRelay() {
  const target = process.env.CARGO_TARGET_DIR || path.join(root, 'target')
  const program =
    process.env.PORTAL_TESTKIT_RELAY || path.join(target, 'debug', 'portal-testkit-relay')
  const child = spawn(program, { stdio: ['pipe', 'pipe', 'inherit'] })
  const ended = once(child, 'exit')
  const [line] = await Promise.race([
    once(readline.createInterface(child.stdout), 'line'),
    ended.then(() => Promise.reject(new Error('the relay did not start'))),
  ])
  return {
    url: JSON.parse(line).url,
    async stop() {
      child.stdin.end()
      await ended
    },
  }
}

/** Rejects when something takes longer. */
async function within(seconds, work) {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${seconds} s`)), seconds * 1000)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}

module.exports = { root, startRelay, within }
