/** Samples compile as their readers compile them, and run. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { FakeDaemon } from '../fake-daemon.js';
import { compileAll, type Compiled } from './compile.js';
import { extract, type Block } from './extract.js';
import { isComplete, run } from './run.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const flows = join(root, 'test', 'samples', 'flows');

/** The document of samples: named by the environment, or in a folder `shared/seeds` beside the repository. */
function sampleDocument(): string | undefined {
  const named = process.env['PORTAL_SEED_DOC'];
  if (named) return named;
  // From the package to beside the repository; work trees may lie deeper.
  for (let folder = join(root, '..', '..', '..'); dirname(folder) !== folder; folder = dirname(folder)) {
    const seeds = join(folder, '..', 'shared', 'seeds');
    const name = existsSync(seeds) ? readdirSync(seeds).find((file) => /^000_.*\.txt$/.test(file)) : undefined;
    if (name) return join(seeds, name);
  }
  return undefined;
}

function title({ line, kind, text }: Block): string {
  return `line ${line}, ${kind}, ${text.split('\n').length} lines`;
}

/** Runs all samples that are complete, each with a daemon of its own. */
async function runAll(t: TestContext, samples: Compiled[]): Promise<number> {
  const complete = samples.filter(isComplete);
  for (const sample of complete) {
    await t.test(`runs: ${title(sample.block)}`, async (t) => {
      const daemon = await FakeDaemon.start({ token: ANY_TOKEN, autopilot: true });
      t.after(() => daemon.stop());
      const { errors, commands } = await run(daemon, sample);
      t.diagnostic(`sent ${commands.join(' ') || 'nothing'}`);
      assert.deepEqual(errors, []);
      // Whoever logs in has sent it, unless only a class is shown.
      const classes = [...sample.block.text.matchAll(/^class (\w+)/gm)].map(([, name]) => name);
      const used = classes.every((name) => sample.block.text.includes(`new ${name}(`));
      if (used && /\.authenticate\(/.test(sample.block.text)) assert.ok(commands.includes('Auth'), 'Auth');
    });
  }
  return complete.length;
}

const ANY_TOKEN = '*';

test('the document’s samples', async (t) => {
  const path = sampleDocument();
  if (path === undefined) {
    t.skip('no sample document: set PORTAL_SEED_DOC, or put a folder shared/seeds beside the repository');
    return;
  }
  const text = readFileSync(path, 'utf8');
  const blocks = extract(text);
  const samples = compileAll(root, blocks);
  for (const { block, free, errors } of samples) {
    t.diagnostic(`${errors.length === 0 ? 'compiles' : 'FAILS'}: ${title(block)}${free.length > 0 ? `, declares ${free.join(' ')}` : ''}`);
  }
  assert.deepEqual(samples.filter(({ errors }) => errors.length > 0).map(({ block, errors }) => [title(block), ...errors]), []);
  const left = uncovered(text, blocks);
  assert.deepEqual(left, [], 'lines that use the SDK are in no sample');
  assert.ok(blocks.length > 50, `only ${blocks.length} samples found`);
  const ran = await runAll(t, samples);
  t.diagnostic(`${blocks.length} samples found, ${samples.filter(({ errors }) => errors.length === 0).length} compile, ${ran} ran`);
  assert.ok(ran > 20, `only ${ran} samples ran`);
});

test('our own samples, one per flow', async (t) => {
  const names = readdirSync(flows).filter((name) => name !== 'types.ts');
  const blocks = names.map((name): Block => ({ line: 1, kind: 'statements', text: readFileSync(join(flows, name), 'utf8') }));
  const samples = compileAll(root, blocks);
  assert.deepEqual(samples.map(({ errors }, index) => [names[index], ...errors]).filter((row) => row.length > 1), []);
  for (const [index, sample] of samples.entries()) {
    await t.test(names[index], async (t) => {
      assert.ok(isComplete(sample), `needs ${[...sample.free, ...sample.modules].join(' ')}`);
      const daemon = await FakeDaemon.start({ token: ANY_TOKEN, autopilot: true });
      t.after(() => daemon.stop());
      const { errors, log } = await run(daemon, sample);
      assert.deepEqual(errors, []);
      assert.equal(log.at(-1), 'done');
    });
  }
});

test('the README’s quick start compiles and runs to the end', async (t) => {
  const [, text] = /^```js\n([\s\S]*?)^```$/m.exec(readFileSync(join(root, 'README.md'), 'utf8')) ?? [];
  assert.ok(text, 'no sample');
  const [sample] = compileAll(root, [{ line: 1, kind: 'statements', text }]);
  assert.ok(sample);
  assert.deepEqual(sample.errors, []);
  assert.ok(isComplete(sample));
  const daemon = await FakeDaemon.start({ token: ANY_TOKEN, autopilot: true });
  t.after(() => daemon.stop());
  const { errors, log } = await run(daemon, sample);
  assert.deepEqual(errors, []);
  assert.equal(log.at(-1), 'paid');
});

test('the samples of the documentation compile', () => {
  const text = readFileSync(join(root, '..', '..', '..', 'docs', 'src', 'typescript.md'), 'utf8');
  const blocks = [...text.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map((match): Block => {
    return { line: text.slice(0, match.index).split('\n').length, kind: 'statements', text: match[1]! };
  });
  assert.ok(blocks.length > 5, `only ${blocks.length} samples found`);
  const failed = compileAll(root, blocks).filter(({ errors }) => errors.length > 0);
  assert.deepEqual(failed.map(({ block, errors }) => [title(block), ...errors]), []);
});

test('what does not compile is noticed', () => {
  const block = (text: string): Block => ({ line: 1, kind: 'statements', text });
  const bad = compileAll(root, [
    block('await client.requestSinglePayment(userPubkey, { amount: 1 });'),
    block("import { PortalSDK } from 'portal-sdk';\nnew PortalSDK();"),
    block('client.noSuchMethod();'),
    { line: 1, kind: 'signature', text: 'await client.burnCashu(\ntoken: number\n): Promise<string>' },
  ]);
  for (const { errors, block: { text } } of bad) assert.ok(errors.length > 0, text);
});

test('samples are found without their fences', () => {
  const found = extract(
    [
      'Heading',
      'Some prose, for example:',
      "import { PortalSDK } from 'portal-sdk';",
      'const client = new PortalSDK({',
      "serverUrl: 'ws://localhost:3000/ws'",
      '});',
      "console.log('\u0101",
      " Connected');",
      'const x = [1]',
      '.map((n) => n);',
      'More prose (with brackets).',
      'npm install portal-sdk',
      '{',
      '"type": "module"',
      '}',
      '{',
      "calendar: 'monthly',",
      'first_payment_due: Timestamp.fromNow(1)',
      '}',
      'connectTimeout: 5000 // five seconds',
      'await client.burnCashu(',
      'mintUrl: string, // the mint',
      'token?: string',
      '): Promise<number>',
    ].join('\n'),
  );
  assert.deepEqual(
    found.map(({ line, kind }) => [line, kind]),
    [
      [3, 'statements'],
      [16, 'object'],
      [20, 'options'],
      [21, 'signature'],
    ],
  );
  assert.match(found[0]!.text, /Connected'\);\nconst x = \[1\]\n\.map/);
});

/** Lines that call the SDK and are in no sample. */
function uncovered(document: string, blocks: Block[]): string[] {
  const all = blocks.map(({ text }) => text).join('\n');
  return document
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => /new PortalSDK\(|\b(client|portalClient)\.(?!js\b)\w+\(|from 'portal-sdk'/.test(line) && !all.includes(line))
    .filter((line) => !all.includes(line.replace(/'\.\/.*portal-sdk.*'/, "'portal-sdk'")));
}
