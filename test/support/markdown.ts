/** A fenced block, its indentation taken off. */
export interface CodeBlock {
  language: string
  text: string
}

const FENCED = /^( *)```(\w*)\n(.*?)^\1```$/gms

/** The fenced blocks of a Markdown text, in their order. */
export function codeBlocks(markdown: string): CodeBlock[] {
  return [...markdown.matchAll(FENCED)].map(([, indent = '', language = '', text = '']) => ({
    language,
    text: text.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
  }))
}

/** The text without its fenced blocks. */
export function prose(markdown: string): string {
  return markdown.replaceAll(FENCED, '')
}

export interface Heading {
  level: number
  text: string
  /** What a link to it ends with, by GitHub's rules. */
  anchor: string
}

export function headings(markdown: string): Heading[] {
  return [...prose(markdown).matchAll(/^(#+) (.+)$/gm)].map(([, marks = '', text = '']) => ({
    level: marks.length,
    text,
    anchor: text
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  }))
}

/** Parts of the text by their heading of level 2, in their order. */
export function sections(markdown: string): { heading: string; body: string }[] {
  return markdown
    .split(/^## /m)
    .slice(1)
    .map((part) => {
      const [heading = '', ...lines] = part.split('\n')
      return { heading, body: lines.join('\n') }
    })
}

/** Rows of cells of all tables, the row of each table's headers left out; `header` is the first of these. */
export function tableRows(markdown: string): { header: string; cells: string[] }[] {
  const rows: { header: string; cells: string[] }[] = []
  let header: string | undefined
  for (const line of prose(markdown).split('\n')) {
    if (!line.startsWith('|')) header = undefined
    else if (header === undefined) header = cellsOf(line)[0] ?? ''
    else if (!/^[|: -]+$/.test(line)) rows.push({ header, cells: cellsOf(line) })
  }
  return rows
}

/** What stands in backticks. */
export function codeSpans(markdown: string): string[] {
  return [...prose(markdown).matchAll(/`([^`\n]+)`/g)].map(([, code = '']) => code)
}

/** Targets of links. */
export function links(markdown: string): string[] {
  return [...prose(markdown).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target)
}

function cellsOf(row: string): string[] {
  return row
    .split(/(?<!\\)\|/)
    .slice(1, -1)
    .map((cell) => cell.trim().replaceAll('\\|', '|'))
}
