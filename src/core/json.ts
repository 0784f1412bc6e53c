/** The face of the JSON files: exact values, their reader and their writers. */
export { fromPlain, isJsonArray, isJsonObject, MAX_DEPTH, toPlain } from './json-value.ts'
export type { Json, JsonObject } from './json-value.ts'
export { JsonSyntaxError, parseJson } from './json-read.ts'
export { formatJson, formatPythonFloat, formatPythonJson, formatPythonJsonChunks } from './json-write.ts'
