/** Mounts and unmounts an image many times over and prints the milliseconds of each pair as JSON. */
import { mount, openStore, unmount } from '../../src/index.ts'

const [folder = '', name = '', target = '', times = '1'] = process.argv.slice(2)
await using store = await openStore(folder)
const image = store.find(name)
const pairs: number[] = []
for (let time = 0; time < Number(times); time++) {
  const start = performance.now()
  const { id } = await mount(store, image, { target })
  unmount(store, id)
  pairs.push(performance.now() - start)
}
process.stdout.write(JSON.stringify(pairs))
