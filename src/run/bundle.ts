/**
 * The config.json of an OCI runtime bundle (runtime-spec 1.0), for crun, runc and their like.
 *
 * The container is isolated by its own mounts, processes, IPC, host name and cgroup view; the capabilities podman
 * leaves root; /proc and /sys with the parts masked or read-only that reach into the host. There is no seccomp filter
 * and no network of its own: by default it shares the host's, since nobody here would connect another one.
 *
 * An image's labels do not become annotations: runtimes take orders from some of those.
 */
import type { Bind } from './bind.ts'
import type { ProcessSpec } from './process.ts'

export interface BundleRequest {
  /** Absolute path of the mounted image. */
  readonly rootfs: string
  readonly process: ProcessSpec
  /** Size of our terminal, for the program's. */
  readonly terminalSize?: { readonly width: number; readonly height: number } | undefined
  /** Limit on our own descriptors, which is the most we may let others have. */
  readonly openFilesMax: number
  readonly hostname: string
  /** Network of the container; `none`: a network namespace with nothing but loopback. */
  readonly network: 'host' | 'none'
  readonly readOnly: boolean
  readonly binds: readonly Bind[]
  /** Stop signal as the image has it; '' when it says nothing. */
  readonly stopSignal: string
}

/** Returns the text of config.json; the same request gives the same bytes. */
export function writeBundleConfig(request: BundleRequest): string {
  return `${JSON.stringify(bundleConfig(request), undefined, 2)}\n`
}

export function bundleConfig(request: BundleRequest): object {
  return {
    ociVersion: '1.0.2',
    process: processOf(request),
    root: { path: request.rootfs, readonly: request.readOnly },
    hostname: request.hostname,
    mounts: [...systemMounts, ...request.binds.map(bindMount)],
    annotations: request.stopSignal === '' ? {} : { 'org.opencontainers.image.stopSignal': request.stopSignal },
    linux: {
      resources: { devices: [{ allow: false, access: 'rwm' }] },
      namespaces: namespacesOf(request),
      maskedPaths,
      readonlyPaths,
    },
  }
}

function processOf({ process, terminalSize, openFilesMax }: BundleRequest): object {
  const { args, env, cwd, account, terminal } = process
  const held = account.uid === 0 ? capabilities : []
  return {
    terminal,
    ...(terminal && terminalSize && { consoleSize: terminalSize }),
    user: { uid: account.uid, gid: account.gid, umask: 0o022, additionalGids: account.groups },
    args,
    env,
    cwd,
    capabilities: { bounding: capabilities, effective: held, inheritable: [], permitted: held, ambient: [] },
    // What systemd gives a service; left alone it would be ours, which Node has raised.
    rlimits: [{ type: 'RLIMIT_NOFILE', hard: Math.min(openFilesMax, 524288), soft: Math.min(openFilesMax, 1024) }],
    noNewPrivileges: false,
  }
}

function namespacesOf({ network }: BundleRequest): object[] {
  const types = ['pid', 'ipc', 'uts', 'mount', 'cgroup', ...(network === 'none' ? ['network'] : [])]
  return types.map((type) => ({ type }))
}

function bindMount({ source, destination, readOnly }: Bind): object {
  return { destination, type: 'bind', source, options: ['rbind', 'rprivate', readOnly ? 'ro' : 'rw'] }
}

/** Capabilities that podman 5 leaves root in a container. */
const capabilities = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_NET_BIND_SERVICE',
  'CAP_SETFCAP',
  'CAP_SETGID',
  'CAP_SETPCAP',
  'CAP_SETUID',
  'CAP_SYS_CHROOT',
]

const systemMounts = [
  { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
  {
    destination: '/dev',
    type: 'tmpfs',
    source: 'tmpfs',
    options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
  },
  {
    destination: '/dev/pts',
    type: 'devpts',
    source: 'devpts',
    options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
  },
  {
    destination: '/dev/shm',
    type: 'tmpfs',
    source: 'shm',
    options: ['nosuid', 'noexec', 'nodev', 'mode=1777', 'size=65536k'],
  },
  { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: ['nosuid', 'noexec', 'nodev'] },
  { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['nosuid', 'noexec', 'nodev', 'ro'] },
  {
    destination: '/sys/fs/cgroup',
    type: 'cgroup',
    source: 'cgroup',
    options: ['nosuid', 'noexec', 'nodev', 'relatime', 'ro'],
  },
]

const maskedPaths = [
  '/proc/acpi',
  '/proc/asound',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/sys/devices/virtual/powercap',
  '/sys/firmware',
  '/sys/fs/selinux',
]

const readonlyPaths = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger']
