/** Compiles samples as their readers would: not strictly, and with whatever a sample leaves out declared. */
import { join } from 'node:path';
import ts from 'typescript';
import type { Block } from './extract.js';

export interface Compiled {
  block: Block;
  /** The sample as a module. */
  source: string;
  /** What it leaves out, declared. */
  declarations: string;
  /** Names that the sample uses and does not declare. */
  free: string[];
  /** Modules of others that it imports. */
  modules: string[];
  errors: string[];
}

const SDK_NAMES = new Set(['PortalSDK', 'PortalSDKError', 'Currency', 'Timestamp']);
/** What a sample calls its client. */
const CLIENT = /^(client|portalClient|portal|sdk)$/;

const OPTIONS: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  moduleDetection: ts.ModuleDetectionKind.Force,
  lib: ['lib.es2022.d.ts', 'lib.dom.d.ts'],
  types: ['node'],
  jsx: ts.JsxEmit.Preserve,
  strict: false,
  esModuleInterop: true,
  skipLibCheck: true,
  noEmit: true,
};

/** Third parties that need more than `any`. */
const AMBIENT = `
declare namespace JSX { interface IntrinsicElements { [name: string]: any } }
declare module 'react' {
  const React: any;
  export default React;
  export function useState<T>(value?: T): [T, (value: T) => void];
  export function useEffect(effect: () => unknown, on?: unknown[]): void;
}
`;

const MISSING_NAME = new Set([2304, 2552, 2580, 2581, 2582, 2583, 2584, 2591, 2592, 18004]);
const MISSING_MODULE = new Set([2307, 2792, 7016]);
const RETURN_OUTSIDE = 1108;

/** Compiles all samples together; each is a module of its own. */
export function compileAll(root: string, blocks: Block[]): Compiled[] {
  // `export {}` makes a module even of a sample that neither imports nor exports.
  const results = blocks.map((block): Compiled => ({ block, source: `${toModule(block)}\nexport {};\n`, declarations: '', free: [], modules: [], errors: [] }));
  // Find out what is left out, declare it and look again; some is hidden behind what was found first.
  for (let round = 0; round < 2; round += 1) {
    check(root, results).forEach((diagnostics, index) => {
      const result = results[index]!;
      if (diagnostics.some(({ code }) => code === RETURN_OUTSIDE)) result.source = wrap(result.source);
      const quoted = (codes: Set<number>): string[] => [
        ...new Set(diagnostics.filter(({ code }) => codes.has(code)).map((diagnostic) => /'([^']+)'/.exec(message(diagnostic))?.[1] ?? '')),
      ];
      const free = quoted(MISSING_NAME).filter((name) => !result.free.includes(name));
      result.free.push(...free);
      result.modules.push(...quoted(MISSING_MODULE));
      result.declarations += free.map((name) => `${declaration(name)}\n`).join('');
    });
  }
  check(root, results).forEach((diagnostics, index) => {
    results[index]!.errors = diagnostics.map((diagnostic) => {
      const { line = 0 } = diagnostic.file ? diagnostic.file.getLineAndCharacterOfPosition(diagnostic.start ?? 0) : {};
      return `line ${line + 1}: TS${diagnostic.code} ${message(diagnostic)}`;
    });
  });
  return results;
}

/** The imports of a module, and the rest of it. */
export function splitImports(source: string): { imports: string; rest: string } {
  const file = ts.createSourceFile('sample.tsx', source, ts.ScriptTarget.ES2022, false, ts.ScriptKind.TSX);
  const end = file.statements.filter(ts.isImportDeclaration).reduce((last, statement) => Math.max(last, statement.end), 0);
  return { imports: source.slice(0, end), rest: source.slice(end) };
}

function toModule({ kind, text }: Block): string {
  switch (kind) {
    case 'statements':
      // Wherever the sample has the package from, it is this one.
      return text.replace(/(['"])\.\/(?:node_modules\/)?portal-sdk(?:\/dist\/index\.js)?\1/g, "'portal-sdk'");
    case 'options':
      return `import type { ClientConfig } from 'portal-sdk';\nexport const options: Partial<ClientConfig> = { ${text}\n};`;
    case 'object':
      return `import type { RecurrenceInfo } from 'portal-sdk';\nexport const value: RecurrenceInfo = ${text};`;
    case 'type':
      return `import type { CashuResponseStatus } from 'portal-sdk';\ntype Documented = ${text};\nexport const check = (status: CashuResponseStatus): Documented => status;`;
    case 'signature':
      return signatureCheck(text);
  }
}

/** A check that the method takes what the signature says, in its order, and returns what it says. */
function signatureCheck(text: string): string {
  const [, method, list, returns] = /^await \w+\.(\w+)\(([\s\S]*)\): ([\s\S]+)$/.exec(text) ?? [];
  const parameters = (list ?? '')
    .split('\n')
    .map((row) => row.replace(/\/\/.*$/, '').trim().replace(/,$/, ''))
    .filter((row) => row !== '')
    // Optional ones stand before required ones, which only prose may do.
    .map((row) => row.replace(/^(\w+)\?: (.*)$/, '$1: $2 | undefined'));
  const names = parameters.map((row) => row.split(':')[0]);
  return [
    "import type { CashuResponseStatus, PortalSDK } from 'portal-sdk';",
    `export const check = (client: PortalSDK, ${parameters.join(', ')}): ${returns} => client.${method}(${names.join(', ')});`,
    'export type Used = CashuResponseStatus;',
  ].join('\n');
}

function wrap(source: string): string {
  const { imports, rest } = splitImports(source);
  return `${imports}\nexport async function sample() {\n${rest.replace(/\nexport \{\};\n/, '\n')}\n}`;
}

function declaration(name: string): string {
  if (SDK_NAMES.has(name)) return `import { ${name} } from 'portal-sdk';`;
  return `declare const ${name}: ${CLIENT.test(name) ? "import('portal-sdk').PortalSDK" : 'any'};`;
}

const libraries = new Map<string, ts.SourceFile | undefined>();

function check(root: string, results: Compiled[]): ts.Diagnostic[][] {
  const modules = new Set(results.flatMap((result) => result.modules));
  const ambient = AMBIENT + [...modules].map((name) => `declare module '${name}';`).join('\n');
  const path = (name: string): string => join(root, 'test', 'samples', `${name}`);
  const files = new Map([[path('ambient.d.ts'), ambient]]);
  results.forEach(({ source, declarations }, index) => files.set(path(`sample-${index}.tsx`), source + declarations));
  const host = ts.createCompilerHost(OPTIONS);
  const { fileExists, readFile, getSourceFile } = host;
  host.fileExists = (name) => files.has(name) || fileExists.call(host, name);
  host.readFile = (name) => files.get(name) ?? readFile.call(host, name);
  host.getSourceFile = (name, target, ...rest) => {
    const text = files.get(name);
    if (text !== undefined) return ts.createSourceFile(name, text, target, true);
    // The libraries are the same in every round.
    if (!libraries.has(name)) libraries.set(name, getSourceFile.call(host, name, target, ...rest));
    return libraries.get(name);
  };
  host.getCurrentDirectory = () => root;
  // Ambient modules must count as found, so the file that declares them is not a module.
  const program = ts.createProgram([...files.keys()], { ...OPTIONS, moduleDetection: ts.ModuleDetectionKind.Auto }, host);
  return results.map((_result, index) => {
    const file = program.getSourceFile(path(`sample-${index}.tsx`));
    if (!file) throw new Error(`sample ${index} is missing`);
    return [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)];
  });
}

function message(diagnostic: ts.Diagnostic): string {
  return ts.flattenDiagnosticMessageText(diagnostic.messageText, ' ');
}
