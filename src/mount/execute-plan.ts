import { closeSync } from 'node:fs'
import { OnefoldError } from '../error.ts'
import { mountFlags } from '../linux/abi.ts'
import { attachLoop } from '../linux/loop.ts'
import { FsContext, attachMount, setMountAttributes, unmount } from '../linux/mount-calls.ts'
import { copyRoot } from './copy-root.ts'
import type { Attribute, Made, Setting, MountStep } from './mount-plan.ts'

/** Makes the calls of a plan. When a step fails nothing stays: mounts attached nowhere end with their descriptor. */
export function executePlan(plan: readonly MountStep[]): void {
  const made = new Map<Made, Product>()
  const attached: string[] = []
  try {
    for (const step of plan) executeStep(step, made, attached)
  } catch (error) {
    for (const target of attached.reverse()) unmount(target, { lazy: true })
    throw error
  } finally {
    for (const { fd } of made.values()) closeSync(fd)
  }
}

interface Product {
  readonly fd: number
  /** The path that a setting names it by, where a descriptor will not do. */
  readonly path?: string
}

function executeStep(step: MountStep, made: Map<Made, Product>, attached: string[]): void {
  switch (step.step) {
    case 'loop':
      made.set(step.as, attachLoop(step.file))
      return
    case 'mount':
      made.set(step.as, { fd: makeMount(step.type, step.settings, step.attributes, made) })
      return
    case 'idmap':
      setMountAttributes(get(made, step.mount).fd, {
        set: mountFlags.MOUNT_ATTR_IDMAP,
        userNamespace: step.namespace,
      })
      return
    case 'copy-root':
      copyRoot(get(made, step.mount).fd, step.upper)
      return
    case 'attach':
      attachMount(get(made, step.mount).fd, step.target)
      attached.push(step.target)
      return
    case 'detach':
      unmount(step.target, { lazy: true })
      attached.splice(attached.indexOf(step.target), 1)
  }
}

function makeMount(
  type: string,
  settings: readonly Setting[],
  attributes: readonly Attribute[],
  made: ReadonlyMap<Made, Product>,
): number {
  using context = new FsContext(type)
  for (const setting of settings) applySetting(context, setting, made)
  context.create()
  return context.mount(attributes.reduce((bits, name) => bits | attributeBits[name], 0))
}

function applySetting(context: FsContext, setting: Setting, made: ReadonlyMap<Made, Product>): void {
  if ('value' in setting) return context.setString(setting.key, setting.value)
  if (!('made' in setting)) return context.setFlag(setting.key)
  const { fd, path } = get(made, setting.made)
  return path === undefined ? context.setFd(setting.key, fd) : context.setString(setting.key, path)
}

function get(made: ReadonlyMap<Made, Product>, name: Made): Product {
  const product = made.get(name)
  if (product === undefined)
    throw new OnefoldError('USAGE', `Cannot execute a plan that uses "${name}" before it is made`)
  return product
}

const attributeBits: Record<Attribute, number> = {
  rdonly: mountFlags.MOUNT_ATTR_RDONLY,
  nodev: mountFlags.MOUNT_ATTR_NODEV,
  nosuid: mountFlags.MOUNT_ATTR_NOSUID,
}
