import { serveThread } from '../threads/serve.ts'
import { measureFiles } from './measure-files.ts'

serveThread(measureFiles)
