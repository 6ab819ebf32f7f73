import { test } from 'node:test'
import { fuzzTree } from '../fuzz/tree.ts'
import { needsRoot } from '../fixtures/needs.ts'

test("random layers show the same tree as in the kernel's overlayfs", { skip: needsRoot }, () => fuzzTree(1, 100))
