// Makes the archives beside it with the importer of IPFS's own JavaScript implementation:
// npm install ipfs-unixfs-importer@17 @ipld/car@5 && node make.mjs
import { createWriteStream, writeFileSync } from 'node:fs'
import { Readable } from 'node:stream'
import { CarWriter } from '@ipld/car'
import { importer } from 'ipfs-unixfs-importer'
import { balanced } from 'ipfs-unixfs-importer/layout'
import { fixedSize } from 'ipfs-unixfs-importer/chunker'

// The bytes that `object()` in the tests gives.
const object = (length) => Uint8Array.from({ length }, (_, i) => Math.imul(i, 2654435761) >>> 24)
const files = [
  ['one', object(90)],
  ['deep', object(5000)],
  ['empty', new Uint8Array()],
  ['sub/same', new Uint8Array(1000)]
]

async function make (name, options) {
  const blocks = new Map()
  const store = { put: async (cid, bytes) => { blocks.set(`${cid}`, { cid, bytes }); return cid } }
  const source = files.map(([path, content]) => ({ path, content }))
  let root
  for await (const entry of importer(source, store, {
    wrapWithDirectory: true,
    chunker: fixedSize({ chunkSize: 100 }),
    layout: balanced({ maxChildrenPerNode: 3 }),
    ...options
  })) root = entry.cid
  const { writer, out } = CarWriter.create([root])
  Readable.from(out).pipe(createWriteStream(`${name}.car`))
  for (const block of blocks.values()) await writer.put(block)
  await writer.close()
  writeFileSync(`${name}.cid`, `${root}\n`)
  console.log(name, `${root}`)
}

await make('v1', { cidVersion: 1, rawLeaves: true })
await make('v0', { cidVersion: 0, rawLeaves: false })
