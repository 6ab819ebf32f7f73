import { serveThread } from '../../threads/serve.ts'
import { examine } from './examine.ts'

serveThread(examine)
