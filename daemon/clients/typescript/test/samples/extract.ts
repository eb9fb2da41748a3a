/**
 * Finds the TypeScript and JavaScript samples in a document that has lost its code fences and its indentation.
 *
 * A line that looks like the start of a statement begins a sample if, with the lines behind it, it parses; the
 * sample goes on as long as statements follow. What a document shows besides statements is found as well:
 * signatures, objects, and single options.
 */
import ts from 'typescript';

export type BlockKind = 'statements' | 'signature' | 'object' | 'type' | 'options';

export interface Block {
  /** The line in the document, from 1. */
  line: number;
  kind: BlockKind;
  text: string;
}

const STARTS = [
  /^(import|export) /,
  /^(const|let|var|class|interface|type|function|async function|await|return|throw|new) \S/,
  /^(try|do) \{$/,
  /^(if|for|while|switch) \(/,
  /^[\w$]+(\.[\w$]+)+\s*(\(|= )/,
  /^[\w$]+\(.*\)(\.[\w$]+\(.*\))*;$/,
  /^\/\//,
];
/** A line that goes on with the statement before it, although that would be complete. */
const CONTINUES = /^(\.[\w$]+\(|[?:|&] |\}|\))/;
/** The longest sample. */
const LONGEST = 260;

/** All samples of a document. */
export function extract(document: string): Block[] {
  const lines = mend(document.split('\n'));
  const blocks: Block[] = [];
  let current: { line: number; text: string[] } | undefined;
  const flush = (): void => {
    if (current) blocks.push(...statements(current.line, current.text));
    current = undefined;
  };
  for (let i = 0; i < lines.length; ) {
    const text = lines[i]!.text;
    const end = STARTS.some((start) => start.test(text)) ? statementEnd(lines, i) : undefined;
    if (end !== undefined) {
      current ??= { line: lines[i]!.line, text: [] };
      current.text.push(...lines.slice(i, end).map((line) => line.text));
      i = end;
      continue;
    }
    flush();
    const special = signature(lines, i) ?? object(lines, i) ?? options(lines, i);
    if (special) {
      blocks.push(special.block);
      i = special.end;
    } else {
      i += 1;
    }
  }
  flush();
  return blocks;
}

interface Line {
  line: number;
  text: string;
}

/** Joins lines that a broken character (the rest of an emoji) has torn apart. */
function mend(lines: string[]): Line[] {
  const mended: Line[] = [];
  lines.forEach((text, index) => {
    const previous = mended[mended.length - 1];
    if (previous && /(^|[^\s])\s*['"`/ ]+\u0101$/.test(previous.text)) previous.text += ` ${text.trim()}`;
    else mended.push({ line: index + 1, text: text.trim() });
  });
  return mended;
}

const join = (lines: Line[], from: number, to: number): string =>
  lines
    .slice(from, to)
    .map((line) => line.text)
    .join('\n');

/** Whether a text parses without a complaint. */
export function parses(text: string): boolean {
  const source = ts.createSourceFile('sample.tsx', text, ts.ScriptTarget.ES2022, false, ts.ScriptKind.TSX);
  return (source as unknown as { parseDiagnostics: unknown[] }).parseDiagnostics.length === 0;
}

/** Where the statement that begins at `start` ends. */
function statementEnd(lines: Line[], start: number): number | undefined {
  for (let end = start + 1; end <= Math.min(lines.length, start + LONGEST); end += 1) {
    if (!parses(join(lines, start, end))) continue;
    // `const x = a` is complete, but `.b()` on the next line belongs to it.
    const next = lines[end]?.text ?? '';
    if (CONTINUES.test(next) && statementContinues(lines, start, end)) continue;
    return end;
  }
  return undefined;
}

function statementContinues(lines: Line[], start: number, end: number): boolean {
  for (let more = end + 1; more <= Math.min(lines.length, end + 40); more += 1) if (parses(join(lines, start, more))) return true;
  return false;
}

/** A run of statements; apart where it shows a good and a bad way to do the same thing. */
function statements(line: number, text: string[]): Block[] {
  const blocks: Block[] = [];
  let from = 0;
  const push = (to: number): void => {
    const part = text.slice(from, to);
    if (part.some((row) => row !== '' && !row.startsWith('//'))) blocks.push({ line: line + from, kind: 'statements', text: part.join('\n') });
    from = to;
  };
  text.forEach((row, index) => {
    if (index > from && /^\/\/ .*\b(Bad|Incorrect)\b/.test(row)) push(index);
  });
  push(text.length);
  return blocks;
}

interface Found {
  block: Block;
  end: number;
}

/** `await client.name(parameter: type, …): Promise<…>` */
function signature(lines: Line[], start: number): Found | undefined {
  if (!/^await \w+\.\w+\($/.test(lines[start]!.text)) return undefined;
  for (let end = start + 2; end <= start + 15; end += 1) {
    if (/^\): Promise</.test(lines[end - 1]?.text ?? '')) {
      return { block: { line: lines[start]!.line, kind: 'signature', text: join(lines, start, end) }, end };
    }
  }
  return undefined;
}

/** A lone `{ … }`: a value or a type. JSON is configuration of something else. */
function object(lines: Line[], start: number): Found | undefined {
  if (lines[start]!.text !== '{') return undefined;
  for (let end = start + 2; end <= start + 40; end += 1) {
    const text = join(lines, start, end);
    const kind = parses(`(${text}\n)`) ? 'object' : parses(`type T = ${text}`) ? 'type' : undefined;
    if (!kind) continue;
    if (/^\{\s*"/.test(text)) return undefined;
    return { block: { line: lines[start]!.line, kind, text }, end };
  }
  return undefined;
}

/** A lone option of the client. */
function options(lines: Line[], start: number): Found | undefined {
  const { line, text } = lines[start]!;
  if (!/^(serverUrl|connectTimeout): \S/.test(text) || !parses(`({ ${text}\n})`)) return undefined;
  return { block: { line, kind: 'options', text }, end: start + 1 };
}
