// What the text of a quantity means, in a file, in a variable or behind a flag.

/** True or false in every spelling of YAML 1.1; undefined for anything else, as below. */
export function parseBoolean(value: string): boolean | undefined {
  const word = value.toLowerCase()
  if (['true', 'yes', 'on', 'y', '1'].includes(word)) return true
  if (['false', 'no', 'off', 'n', '0'].includes(word)) return false
  return undefined
}

/** Numbers as YAML 1.1 writes them, and the plain exponents of 1.2. */
export function parseNumber(value: string): number | undefined {
  const [, sign = '', digits = ''] = /^([-+]?)(.*)$/s.exec(value) ?? []
  const plain = digits.replaceAll('_', '')
  const magnitude = parseDigits(plain)
  if (magnitude === undefined || !Number.isFinite(magnitude)) return undefined
  return sign === '-' ? -magnitude : magnitude
}

function parseDigits(digits: string): number | undefined {
  if (/^0[0-7]+$/.test(digits)) return Number.parseInt(digits, 8)
  if (/^0(x[0-9a-f]+|b[01]+|o[0-7]+)$/i.test(digits)) return Number(digits)
  if (/^[1-9]\d*(:[0-5]?\d)+$/.test(digits)) {
    return digits.split(':').reduce((total, part) => total * 60 + Number(part), 0)
  }
  return /^(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?$/i.test(digits) ? Number(digits) : undefined
}

const SECONDS_PER = { ms: 0.001, s: 1, m: 60, h: 3600 }

/** `90`, `1.5`, `90s`, `10m`, `12h` and `500ms` in seconds. */
export function parseSeconds(value: string): number | undefined {
  const [, amount = '', unit = ''] = /^([\d.]+) *(ms|s|m|h)$/i.exec(value) ?? []
  if (amount === '') return parseNumber(value)
  const number = parseNumber(amount)
  const factor = SECONDS_PER[unit.toLowerCase() as keyof typeof SECONDS_PER]
  return number === undefined ? undefined : Number((number * factor).toPrecision(12))
}

/** `1048576`, `1 MiB`, `512m` and `1g` in bytes, a k being 1024 as in Docker's own flags. */
export function parseBytes(value: string): number | undefined {
  const [, amount = '', unit = ''] = /^([\d.]+) *(?:([kmgt])(?:i?b)?|b)$/i.exec(value) ?? []
  if (amount === '') return parseNumber(value)
  const number = parseNumber(amount)
  const power = ['', 'k', 'm', 'g', 't'].indexOf(unit.toLowerCase())
  return number === undefined ? undefined : Math.round(number * 1024 ** power)
}
