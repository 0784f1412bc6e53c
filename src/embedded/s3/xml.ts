/** Members in order; a list makes its element once for each entry. */
export interface XmlTree {
  readonly [name: string]: XmlValue | readonly XmlValue[] | undefined
}
type XmlValue = string | number | boolean | XmlTree

/** A document in S3's namespace. */
export function xmlDocument(root: string, tree: XmlTree, namespace = true): string {
  const attribute = namespace ? ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"' : ''
  return `<?xml version="1.0" encoding="UTF-8"?>\n<${root}${attribute}>${members(tree)}</${root}>`
}

/** The texts of all elements `name` in `xml`, references resolved; enough for the two bodies that S3 takes. */
export function textsOf(xml: string, name: string): string[] {
  return blocksOf(xml, name).map(unescape)
}

/** What stands inside of each element `name`, as it is. */
export function blocksOf(xml: string, name: string): string[] {
  return [...xml.matchAll(new RegExp(`<${name}(?:\\s[^>]*)?>([\\s\\S]*?)</${name}>`, 'g'))].map(
    ([, inner = '']) => inner,
  )
}

function members(tree: XmlTree): string {
  return Object.entries(tree)
    .flatMap(([name, value]) =>
      (Array.isArray(value) ? (value as XmlValue[]) : [value as XmlValue | undefined]).map((one) =>
        one === undefined
          ? ''
          : `<${name}>${typeof one === 'object' ? members(one) : escape(String(one))}</${name}>`,
      ),
    )
    .join('')
}

function escape(text: string): string {
  return text.replace(/[&<>"'\p{Cc}]/gu, (char) => `&#${char.charCodeAt(0)};`)
}

const NAMED: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }

function unescape(text: string): string {
  return text.replace(
    /&(?:#x([\da-f]+)|#(\d+)|(\w+));/gi,
    (all, hex?: string, decimal?: string, name?: string) => {
      if (hex !== undefined) return String.fromCodePoint(parseInt(hex, 16))
      if (decimal !== undefined) return String.fromCodePoint(Number(decimal))
      return NAMED[name ?? ''] ?? all
    },
  )
}
