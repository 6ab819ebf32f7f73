import { workerData } from 'node:worker_threads'
import { type GroupWork, hashGroups } from './group-digest.ts'

/** Helps with one file, then ends. */
hashGroups(workerData as GroupWork)
