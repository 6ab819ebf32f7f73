/**
 * A program that adds images to a store until it is killed: `store-writer.ts ROOT LABEL FIRST LAST [remove]`.
 * Image N is called `LABEL-N` and shares files with its neighbours and with the same N of other labels. Every image
 * whose commit has returned is printed; with `remove`, the one before is removed first, so that garbage arises.
 */
import { hasCode } from '../src/error.ts'
import { openStore } from '../src/store/store.ts'
import { stageImage } from './store-image.ts'
import { type TestEntry, file } from './images.ts'

const [root = '', label = '', first = '', last = '', mode] = process.argv.slice(2)

function imageLayers(n: number, label: string): TestEntry[][] {
  const shared = Array.from({ length: 20 }, (_, i) => file(`shared/${n + i}`, body(`shared ${n + i}`)))
  return [shared, [file('own', body(`own ${label} ${n}`)), file('small', `${n}`)]]
}

function body(text: string): Buffer {
  return Buffer.alloc(3000, `${text}. `)
}

async function add(n: number): Promise<void> {
  await using store = await openStore(root)
  if (mode === 'remove' && n > Number(first)) await store.remove(`${label}-${n - 1}`)
  await using transaction = await store.begin()
  stageImage(transaction, { layers: imageLayers(n, label), name: `${label}-${n}` })
  await transaction.commit()
}

for (let n = Number(first); n < Number(last); n++) {
  try {
    await add(n)
    console.log(n)
  } catch (error) {
    // What a user would do.
    if (!hasCode(error, 'BUSY')) throw error
    console.error(`${label}-${n}: ${error.message}`)
    n--
  }
}
