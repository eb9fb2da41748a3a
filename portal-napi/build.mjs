// Builds the addon for this machine, and writes index.js and index.d.ts.
//
// `napi build` always names a target, and cargo then builds every dependency a second time, in
// another folder. This shares what cargo built already; arguments go to cargo, so that the whole
// workspace can be built in one go. Releases for all platforms use `npm run build:release`.

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { generateTypeDef, readNapiConfig, writeJsBinding } from '@napi-rs/cli'

const here = path.dirname(fileURLToPath(import.meta.url))
const cargo = process.env.CARGO || 'cargo'
const config = await readNapiConfig(path.join(here, 'package.json'))

const metadata = spawnSync(cargo, ['metadata', '--format-version=1', '--no-deps'], {
  cwd: here,
  encoding: 'utf8',
  maxBuffer: 1 << 26,
})
if (metadata.status !== 0) throw new Error(metadata.stderr)
const target = JSON.parse(metadata.stdout).target_directory

// The macros write the declarations there while they are compiled, so they must be.
const typeDefDir = path.join(target, 'napi-types')
fs.rmSync(typeDefDir, { recursive: true, force: true })
fs.mkdirSync(typeDefDir, { recursive: true })

const chosen = process.argv.slice(2)
const build = spawn(cargo, ['build', ...(chosen.length ? chosen : ['--package', 'portal-napi'])], {
  cwd: path.dirname(here),
  stdio: 'inherit',
  env: {
    ...process.env,
    NAPI_TYPE_DEF_TMP_FOLDER: typeDefDir,
    NAPI_FORCE_BUILD_PORTAL_NAPI: String(Date.now()),
  },
})
const [code] = await once(build, 'exit')
if (code !== 0) process.exit(code ?? 1)

const { platform, arch } = process
const library = { darwin: 'libportal_napi.dylib', win32: 'portal_napi.dll' }[platform]
const musl = platform === 'linux' && !process.report.getReport().header.glibcVersionRuntime
const abi = { linux: musl ? '-musl' : '-gnu', win32: '-msvc' }[platform] ?? ''
const addon = path.join(here, `${config.binaryName}.${platform}-${arch}${abi}.node`)
// A new file: a running program may have the old one loaded.
fs.rmSync(addon, { force: true })
fs.copyFileSync(path.join(target, 'debug', library ?? 'libportal_napi.so'), addon)

const types = await generateTypeDef({
  typeDefDir,
  cwd: here,
  constEnum: false,
  runtimeStringEnum: false,
})
if (types.exports.length === 0) throw new Error('the build wrote no declarations')
fs.writeFileSync(path.join(here, 'index.d.ts'), types.dts)
await writeJsBinding({
  platform: true,
  idents: types.exports,
  binaryName: config.binaryName,
  packageName: config.packageName,
  version: config.packageJson.version,
  outputDir: here,
})
