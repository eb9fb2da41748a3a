/** What is in dist/: sizes, formats, and that every way to import it works. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = (name: string): string => join(root, 'dist', name);

test('the browser module is under 15 KB gzipped', () => {
  const size = gzipSync(readFileSync(dist('index.js'))).length;
  assert.ok(size < 15 * 1024, `${size} bytes`);
});

test('dist/index.js imports nothing and runs without a WebSocket', async () => {
  const source = readFileSync(dist('index.js'), 'utf8');
  assert.doesNotMatch(source, /^\s*(import|export)\b.*\bfrom\b/m);
  assert.doesNotMatch(source, /\b(import|require)\s*\(/);
  const module = await import(pathToFileURL(dist('index.js')).href);
  class Refusing {
    constructor() {
      throw new Error('refused');
    }
  }
  await assert.rejects(new module.PortalSDK({ serverUrl: 'ws://127.0.0.1', webSocket: Refusing }).connect(), /refused/);
});

test('ESM and CommonJS export the same', async () => {
  const esm = await import('portal-sdk');
  const cjs = createRequire(import.meta.url)('portal-sdk');
  const names = Object.keys(esm).sort();
  assert.deepEqual(Object.keys(cjs).sort(), names);
  for (const name of ['PortalSDK', 'PortalSDKError', 'Timestamp', 'Currency']) assert.ok(names.includes(name), name);
  assert.equal(esm.Currency.Millisats, 'Millisats');
});

test('the declarations serve every module resolution, without DOM or Node types', (t) => {
  const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');
  // As an application has it: the package in node_modules.
  const folder = mkdtempSync(join(tmpdir(), 'portal-sdk-'));
  t.after(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(root, join(folder, 'node_modules', 'portal-sdk'), 'dir');
  writeFileSync(join(folder, 'package.json'), '{}');
  const file = join(folder, 'types.ts');
  copyFileSync(join(root, 'test', 'samples', 'flows', 'types.ts'), file);
  for (const flags of [
    ['--module', 'commonjs', '--moduleResolution', 'node10'],
    ['--module', 'nodenext', '--moduleResolution', 'nodenext'],
    ['--module', 'esnext', '--moduleResolution', 'bundler'],
  ]) {
    execFileSync(process.execPath, [tsc, '--noEmit', '--strict', '--target', 'es2020', '--lib', 'es2020', ...flags, file], {
      cwd: folder,
      stdio: 'pipe',
      encoding: 'utf8',
    });
  }
});

test('the package has only what is needed', () => {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  assert.deepEqual(Object.keys(manifest.dependencies), ['ws']);
  assert.doesNotMatch(readFileSync(join(root, 'package-lock.json'), 'utf8'), /"resolved": "http/);
});
