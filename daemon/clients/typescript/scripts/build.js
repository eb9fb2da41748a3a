// Builds dist/: an ES module without imports for browsers, one for Node, CommonJS, and the declarations of each.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import ts from 'typescript';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, 'dist');
const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');

rmSync(dist, { recursive: true, force: true });
mkdirSync(join(dist, 'cjs'), { recursive: true });

const common = { absWorkingDir: root, bundle: true, target: 'es2020', legalComments: 'none', logLevel: 'warning' };
// Pages load the ES module: its comments, which the bundler would keep, are in the declarations.
const withoutComments = {
  name: 'without-comments',
  setup({ onLoad }) {
    const compilerOptions = { target: ts.ScriptTarget.ES2020, module: ts.ModuleKind.ESNext, removeComments: true };
    onLoad({ filter: /\.ts$/ }, ({ path }) => ({
      loader: 'js',
      contents: ts.transpileModule(readFileSync(path, 'utf8'), { compilerOptions }).outputText,
    }));
  },
};

await Promise.all([
  build({
    ...common,
    entryPoints: ['src/index.ts'],
    format: 'esm',
    platform: 'neutral',
    outfile: 'dist/index.js',
    plugins: [withoutComments],
  }),
  build({ ...common, entryPoints: ['src/node.ts'], format: 'esm', platform: 'node', external: ['ws', './index.js'], outfile: 'dist/node.js' }),
  build({ ...common, entryPoints: ['src/node.ts'], format: 'cjs', platform: 'node', external: ['ws'], outfile: 'dist/index.cjs' }),
]);

// CommonJS callers need declarations that count as CommonJS.
for (const outDir of ['dist', 'dist/cjs']) {
  execFileSync(process.execPath, [tsc, '-p', 'tsconfig.json', '--emitDeclarationOnly', '--outDir', outDir], { cwd: root, stdio: 'inherit' });
}
writeFileSync(join(dist, 'cjs', 'package.json'), '{ "type": "commonjs" }\n');
