import { serveThread } from '../../threads/serve.ts'
import { hashGroups } from './group-digest.ts'

serveThread(hashGroups)
