// Has the npm package jose judge the tokens that the fuzzer of pkg/token has as seeds
// and corpus, and fails for a difference that is not explained.
//
//   node corpus.mjs FILE GOLDEN
//
// FILE is what `go test -run '^FuzzVerify$' ./pkg/token -verdicts=FILE` wrote. GOLDEN
// has a paragraph for each reason to differ: comments that say why, and below them the
// differences, each once. A difference is what jose accepts, with our reason to refuse
// it, or what jose refuses, with its own.
import { webcrypto } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import * as jose from 'jose'

globalThis.crypto ??= webcrypto // Node.js 18 has it under this name only

const [file, golden] = process.argv.slice(2)
const [setup, ...judged] = (await readFile(file, 'utf8')).trim().split('\n').map((line) => JSON.parse(line))
const keys = jose.createLocalJWKSet(setup.jwks)
const options = {
  issuer: setup.issuer,
  audience: setup.audience,
  currentDate: new Date(setup.time),
  clockTolerance: setup.leeway,
  algorithms: [...setup.jwks.keys.map((key) => key.alg), 'Ed25519'],
  requiredClaims: ['exp'],
}

// kind is a message without what is different for each token.
const kind = (message) => message.replace(/"(?:[^"\\]|\\.)*"…?/g, '"…"').replace(/\d{4}-\d\S+/g, '…')

const found = new Map() // each difference, and the name of one token
for (const { name, token, refusal } of judged) {
  const theirs = await jose.jwtVerify(token, keys, options).then(
    () => null,
    (error) => error,
  )
  if (!refusal === !theirs) continue
  found.set(theirs ? `refuses: ${kind(theirs.message)}` : `accepts ${refusal.reason}: ${kind(refusal.message)}`, name)
}

const explained = new Set()
for (const paragraph of (await readFile(golden, 'utf8')).trim().split(/\n{2,}/)) {
  const lines = paragraph.split('\n')
  if (lines[0].startsWith('#')) lines.filter((line) => !line.startsWith('#')).forEach((line) => explained.add(line))
}
for (const [difference, name] of found) {
  if (explained.delete(difference)) continue
  console.error(`not explained: ${difference} (${name})`)
  process.exitCode = 1
}
for (const difference of explained) {
  console.error(`explained, but not met: ${difference}`)
  process.exitCode = 1
}
console.log(`${judged.length} tokens, ${found.size} kinds of difference`)
