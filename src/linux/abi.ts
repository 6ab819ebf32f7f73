/**
 * The parts of the Linux ABI that are used here, x86-64 and arm64 side by side: the one place where system call
 * numbers, constants and structure layouts stand.
 *
 * Sources (linux/include/uapi unless said otherwise): arch/x86/entry/syscalls/syscall_64.tbl and asm-generic/unistd.h
 * (which arm64 uses), asm-generic/fcntl.h with arch/arm64/include/uapi/asm/fcntl.h (arm64 gives four open flags other
 * values), linux/{fcntl,fs,fsverity,loop,mount,openat2,sched,falloc}.h, sys/xattr and asm-generic/statfs.h.
 * Everything without an architecture beside it is the same on both; both are little-endian and LP64.
 */

export type Architecture = 'x64' | 'arm64'

/** System calls that glibc 2.36 (Debian 12) has no function for; since 5.1 all architectures share new numbers. */
export const syscalls = {
  //                x64        arm64
  open_tree: { x64: 428, arm64: 428 },
  move_mount: { x64: 429, arm64: 429 },
  fsopen: { x64: 430, arm64: 430 },
  fsconfig: { x64: 431, arm64: 431 },
  fsmount: { x64: 432, arm64: 432 },
  openat2: { x64: 437, arm64: 437 },
  mount_setattr: { x64: 442, arm64: 442 },
} as const satisfies Record<string, Record<Architecture, number>>

/** Open flags that Node's fs.constants lacks or that differ between architectures. */
export const openFlags = {
  O_DIRECTORY: { x64: 0o200000, arm64: 0o040000 },
  O_NOFOLLOW: { x64: 0o400000, arm64: 0o100000 },
  O_DIRECT: { x64: 0o040000, arm64: 0o200000 },
  O_PATH: { x64: 0o10000000, arm64: 0o10000000 },
  O_CLOEXEC: { x64: 0o2000000, arm64: 0o2000000 },
} as const satisfies Record<string, Record<Architecture, number>>

export const at = {
  AT_FDCWD: -100,
  AT_SYMLINK_NOFOLLOW: 0x100,
  AT_SYMLINK_FOLLOW: 0x400,
  AT_EMPTY_PATH: 0x1000,
  AT_RECURSIVE: 0x8000,
} as const

export const resolve = {
  RESOLVE_NO_XDEV: 0x01,
  RESOLVE_NO_MAGICLINKS: 0x02,
  RESOLVE_NO_SYMLINKS: 0x04,
  RESOLVE_BENEATH: 0x08,
  RESOLVE_IN_ROOT: 0x10,
} as const

export const lock = { LOCK_SH: 1, LOCK_EX: 2, LOCK_NB: 4 } as const

export const fcntl = { F_SETSIG: 10, F_SETLEASE: 1024, F_WRLCK: 1, F_UNLCK: 2 } as const

/** Signal whose default action is to be ignored. */
export const SIGURG = 23

/** Request numbers, _IOC(direction, type, number, size) of asm-generic/ioctl.h. */
export const ioctls = {
  FICLONE: 0x40049409, // _IOW(0x94, 9, int)
  FICLONERANGE: 0x4020940d, // _IOW(0x94, 13, struct file_clone_range)
  FS_IOC_ENABLE_VERITY: 0x40806685, // _IOW('f', 133, struct fsverity_enable_arg)
  FS_IOC_MEASURE_VERITY: 0xc0046686, // _IOWR('f', 134, struct fsverity_digest)
  FS_IOC_FIEMAP: 0xc020660b, // _IOWR('f', 11, struct fiemap)
  LOOP_CONFIGURE: 0x4c0a,
  LOOP_CTL_GET_FREE: 0x4c82,
} as const

/** linux/fiemap.h. */
export const fiemap = { FIEMAP_EXTENT_LAST: 0x0001, FIEMAP_EXTENT_SHARED: 0x2000 } as const

export const loop = { LO_FLAGS_READ_ONLY: 1, LO_FLAGS_AUTOCLEAR: 4, LO_FLAGS_DIRECT_IO: 16 } as const

export const mountFlags = {
  FSOPEN_CLOEXEC: 1,
  FSMOUNT_CLOEXEC: 1,
  FSCONFIG_SET_FLAG: 0,
  FSCONFIG_SET_STRING: 1,
  FSCONFIG_SET_FD: 5,
  FSCONFIG_CMD_CREATE: 6,
  OPEN_TREE_CLONE: 1,
  MOVE_MOUNT_F_EMPTY_PATH: 0x04,
  MOVE_MOUNT_T_EMPTY_PATH: 0x40,
  MOUNT_ATTR_RDONLY: 0x01,
  MOUNT_ATTR_NOSUID: 0x02,
  MOUNT_ATTR_NODEV: 0x04,
  MOUNT_ATTR_NOEXEC: 0x08,
  MOUNT_ATTR_IDMAP: 0x100000,
  MNT_DETACH: 2,
  UMOUNT_NOFOLLOW: 8,
} as const

/** asm-generic/mman-common.h, linux/mman.h and linux/fadvise.h; pages are taken as 4096 bytes. */
export const memory = { PROT_READ: 1, MAP_SHARED: 1, POSIX_FADV_DONTNEED: 4 } as const

/** linux/sched.h and linux/mount.h. */
export const namespaces = { CLONE_NEWNS: 0x20000, MS_REC: 0x4000, MS_PRIVATE: 0x40000 } as const

/** Byte offsets of fields, and `size` of the whole structure. */
export const structs = {
  /** linux/openat2.h: three __u64. */
  open_how: { size: 24, flags: 0, mode: 8, resolve: 16 },
  /** linux/mount.h: four __u64. */
  mount_attr: { size: 32, attr_set: 0, attr_clr: 8, propagation: 16, userns_fd: 24 },
  /** linux/fs.h: __s64 and three __u64. */
  file_clone_range: { size: 32, src_fd: 0, src_offset: 8, src_length: 16, dest_offset: 24 },
  /** linux/fiemap.h: two __u64 and four __u32, then the extents. */
  fiemap: { size: 32, fm_start: 0, fm_length: 8, fm_flags: 16, fm_mapped_extents: 20, fm_extent_count: 24 },
  fiemap_extent: { size: 56, fe_logical: 0, fe_physical: 8, fe_length: 16, fe_flags: 40 },
  /** linux/fsverity.h. */
  fsverity_enable_arg: { size: 128, version: 0, hash_algorithm: 4, block_size: 8 },
  /** linux/fsverity.h: two __u16, then the digest. */
  fsverity_digest: { size: 4, digest_algorithm: 0, digest_size: 2, digest: 4 },
  /** linux/loop.h: __u32 fd, __u32 block_size, struct loop_info64 (at 8, 232 bytes), __u64[8]. */
  loop_config: { size: 304, fd: 0, block_size: 4, lo_flags: 60 },
  /** asm-generic/statfs.h with 64-bit words. */
  statfs: { size: 120, f_type: 0, f_bsize: 8, f_blocks: 16, f_bfree: 24, f_bavail: 32, f_files: 40, f_ffree: 48 },
  /** linux/stat.h; 64-bit fields are read as two words. */
  statx: {
    size: 256,
    stx_nlink: 16,
    stx_uid: 20,
    stx_gid: 24,
    stx_mode: 28,
    stx_ino: 32,
    stx_size: 40,
    stx_ctime: 96,
    stx_mtime: 112,
    stx_rdev_major: 128,
    stx_rdev_minor: 132,
    stx_dev_major: 136,
    stx_dev_minor: 140,
  },
  /** struct timespec of a 64-bit time_t. */
  timespec: { size: 16, tv_sec: 0, tv_nsec: 8 },
} as const

/** Mask of statx for what stat(2) tells; linux/stat.h. */
export const STATX_BASIC_STATS = 0x7ff

/** Value of utimensat's tv_nsec that leaves a time as it is (linux/stat.h in new headers, bits/stat.h in glibc). */
export const UTIME_OMIT = 0x3ffffffe

/** Magic numbers of file systems, linux/magic.h. */
export const fsTypes: ReadonlyMap<number, string> = new Map([
  [0xef53, 'ext4'],
  [0x58465342, 'xfs'],
  [0x9123683e, 'btrfs'],
  [0x01021994, 'tmpfs'],
  [0x794c7630, 'overlay'],
  [0xe0f5e1e2, 'erofs'],
  [0x65735546, 'fuse'],
  [0x6969, 'nfs'],
  [0x2fc12fc1, 'zfs'],
  [0xf2f52010, 'f2fs'],
])

/** Returns the column of the tables that is this process's own. */
export function architecture(): Architecture {
  if (process.arch === 'x64' || process.arch === 'arm64') return process.arch
  throw new Error(`onefold runs on x64 and arm64, not on ${process.arch}`)
}
